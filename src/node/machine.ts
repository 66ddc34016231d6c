/** Facts, files and programs of this machine, behind a view that tests replace. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import { homeFolder } from './cache-home.ts';

/** View of a machine. Absent things are null or empty, never an error. */
export type MachineView = {
  readonly platform: string;
  readonly arch: string;
  readonly kernel: string;
  /** Version of the C library; null on musl and outside Linux. */
  readonly glibc: string | null;
  readonly node: string;
  readonly nibble: string;
  /** Version of the webgpu package that is installed. */
  readonly webgpu: string | null;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly isRoot: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string | null;
  readText(path: string): string | null;
  /** Names in a directory, sorted. */
  list(path: string): readonly string[];
  canOpen(path: string): boolean;
  /** Standard output of a program; null unless it ended with 0. */
  output(program: string, ...args: readonly string[]): string | null;
};

/** A program that asks a broken driver may hang. */
const PROGRAM_TIMEOUT_MS = 10_000;

/** Makes the view of this machine. */
export function thisMachine(env: MachineView['env']): MachineView {
  return {
    platform: process.platform,
    arch: process.arch,
    kernel: os.release(),
    glibc: glibcVersion(),
    node: process.versions.node,
    nibble: versionIn(new URL('../../package.json', import.meta.url)) ?? 'unknown',
    webgpu: webgpuVersion(),
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    isRoot: process.getuid?.() === 0,
    env,
    home: homeFolder(),
    readText: (path) => attempt(() => readFileSync(path, 'utf8')),
    list: (path) => attempt(() => readdirSync(path).sort()) ?? [],
    canOpen: (path) => attempt(() => accessSync(path, constants.R_OK | constants.W_OK) ?? true) ?? false,
    output: (program, ...args) => {
      const { status, stdout } = spawnSync(program, args, { encoding: 'utf8', timeout: PROGRAM_TIMEOUT_MS });
      return status === 0 ? stdout : null;
    },
  };
}

function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null; // absent or not readable, which the view does not tell apart
  }
}

/** Version of the C library that this process runs on; null with musl, on macOS and on Windows. */
function glibcVersion(): string | null {
  if (process.platform !== 'linux') return null;
  // keeps the report from looking up the names of open connections
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork?: boolean };
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime ?? null;
}

function webgpuVersion(): string | null {
  return attempt(() => {
    const paths = createRequire(import.meta.url).resolve.paths('webgpu') ?? [];
    for (const path of paths) {
      const version = versionIn(`${path}/webgpu/package.json`);
      if (version !== null) return version;
    }
    return null;
  });
}

function versionIn(manifest: URL | string): string | null {
  return attempt(() => (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version);
}
