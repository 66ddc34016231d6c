/** Code, machine, driver and packages of a run, recorded before its first step. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { FileReader } from '../formats/reader.ts';
import type { Device } from '../gpu/device.ts';
import type { RunRecord } from '../results/run-schema.ts';
import { homeFolder } from './cache-home.ts';
import { packageManifest, packageRoot } from './package-root.ts';
import { requireRegular } from './regular-file.ts';

type Meta = RunRecord['meta_info'];
export type CodeInfo = RunRecord['run_info']['code'];

const run = promisify(execFile);
/** Variables that change how a driver behaves: the recorded part of the environment. */
const RECORDED_ENV = /^(VK_|MESA_|NVIDIA_|LP_|NIBBLE_)/;

/** Version and git state of nibble itself; git fields are null outside its own repository. */
export async function codeInfo(): Promise<CodeInfo> {
  const git = async (...args: string[]): Promise<string | null> => {
    try {
      return (await run('git', args, { cwd: packageRoot() })).stdout.trim();
    } catch {
      return null; // installed from the registry, or git is not there
    }
  };
  // inside somebody's project, git would answer for that project
  const top = await git('rev-parse', '--show-toplevel');
  const own = top !== null && path.relative(top, packageRoot()) === '';
  const [commit, branch, status, lockfile] = await Promise.all([
    git('rev-parse', 'HEAD'),
    git('rev-parse', '--abbrev-ref', 'HEAD'),
    git('status', '--porcelain'),
    sha256OfFile(path.join(packageRoot(), 'package-lock.json')).catch(() => null),
  ]);
  return {
    version: packageManifest().version,
    git_commit: own ? commit : null,
    git_branch: own ? branch : null,
    git_dirty: own && status !== null ? status !== '' : null,
    lockfile_sha256: lockfile,
  };
}

/** Facts of Node, the system and the CPU, and the variables that drivers read; `ram` in bytes. */
export function runtimeInfo(): Meta['runtime'] {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([k, v]) => RECORDED_ENV.test(k) && v !== undefined),
  ) as Record<string, string>;
  return {
    node: process.version,
    v8: process.versions.v8,
    webgpu_npm: packageManifest().dependencies.webgpu ?? null,
    dawn: null,
    os: `${os.type()} ${os.arch()}`,
    kernel: os.release(),
    container: containerOf(),
    cpu: os.cpus()[0]?.model ?? '',
    cores: os.cpus().length,
    ram: os.totalmem(),
    env: withoutHome(env),
  };
}

/** Replaces the home directory by ~, since reports are published. */
function withoutHome(env: Record<string, string>): Record<string, string> {
  const home = homeFolder();
  if (home === null || home === '') return env;
  return Object.fromEntries(Object.entries(env).map(([k, v]) => [k, v.replaceAll(home, '~')]));
}

function containerOf(): string | null {
  try {
    const text = readFileSync('/proc/1/cgroup', 'utf8');
    return /docker|kubepods|containerd|lxc/.exec(text)?.[0] ?? null;
  } catch {
    return null;
  }
}

/** Facts of the device, as a record holds them. */
export function gpuInfo({ info, profile }: Device): NonNullable<Meta['gpu']> {
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    driver: null,
    isFallbackAdapter: info.isFallbackAdapter,
    software_rendered: profile.software,
    features: [...info.features],
    limits: { ...info.limits },
    backend: 'vulkan',
    toggles: [...info.toggles],
    subgroup: null,
  };
}

/** Facts that nvidia-smi tells of the first GPU; null where it is absent. */
export async function nvidiaSmi(): Promise<Meta['nvidia_smi']> {
  const query = async (fields: string): Promise<string[]> => {
    const { stdout } = await run('nvidia-smi', [`--query-gpu=${fields}`, '--format=csv,noheader,nounits']);
    return (stdout.trim().split('\n')[0] ?? '').split(',').map((s) => s.trim());
  };
  try {
    const [driver = '', vbios = null, sm, mem, power, persistence, smMax, memMax] = await query(
      'driver_version,vbios_version,clocks.sm,clocks.mem,power.limit,persistence_mode,clocks.max.sm,clocks.max.mem',
    );
    const number = (text: string | undefined): number | null => (Number.isFinite(Number(text)) ? Number(text) : null);
    const known = (values: Record<string, number | null>) =>
      Object.fromEntries(Object.entries(values).filter(([, v]) => v !== null)) as Record<string, number>;
    return {
      driver_version: driver,
      vbios,
      clocks: known({ sm: number(sm), mem: number(mem) }),
      clocks_max: known({ sm: number(smMax), mem: number(memMax) }),
      power_limit: number(power),
      persistence: persistence === 'Enabled',
      mig: null,
      other_processes: [],
    };
  } catch {
    return null;
  }
}

/** SHA-256 of a text in UTF-8, as 64 hex digits. */
export function sha256OfText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** SHA-256 of a file on the disk, as 64 hex digits. @throws DataError for what is no file, the system's error */
export async function sha256OfFile(file: string): Promise<string> {
  await requireRegular(file);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

const CHUNK_BYTES = 8 * 2 ** 20;

/** SHA-256 of a file behind a reader. @throws DataError */
export async function sha256Of(reader: FileReader, file: string): Promise<string> {
  const hash = createHash('sha256');
  const size = await reader.size(file);
  for (let at = 0; at < size; at += CHUNK_BYTES) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, size - at));
    await reader.read(file, at, chunk);
    hash.update(chunk);
  }
  return hash.digest('hex');
}

/** Hashes the hashes of several files, in the order given; a single hash stays as it is. */
export function joinHashes(parts: readonly string[]): string {
  return parts.length === 1 ? (parts[0] as string) : sha256OfText(parts.join('\n'));
}
