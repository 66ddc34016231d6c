/** This machine: its facts, files and programs, behind a view of which a test can show another. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';

/** All that is asked of a machine. Absent things are null or empty, never an error. */
export type MachineView = {
  readonly platform: string;
  readonly arch: string;
  readonly kernel: string;
  /** The C library of this process; null on musl and outside Linux. */
  readonly glibc: string | null;
  readonly node: string;
  readonly nibble: string;
  /** The installed binding, not the wanted one. */
  readonly webgpu: string | null;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly isRoot: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readText(path: string): string | null;
  /** Names in a directory, in order. */
  list(path: string): readonly string[];
  canOpen(path: string): boolean;
  /** Standard output of a program that ended with 0; null otherwise. */
  output(program: string, ...args: readonly string[]): string | null;
};

/** A program that asks a broken driver may hang. */
const PROGRAM_TIMEOUT_MS = 10_000;

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
    home: os.homedir(),
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
    return null; // absent, or not ours to read: the view says so with null
  }
}

/** Of the C library this process runs on; null with musl, on macOS and on Windows. */
function glibcVersion(): string | null {
  if (process.platform !== 'linux') return null;
  // otherwise the report looks up the names of open connections
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
