/** Fake machines for the doctor, made of files and program outputs. */
import { machineFacts } from '../../src/doctor/machine-facts.ts';
import type { DeviceFacts, MachineFacts, Probe } from '../../src/doctor/types.ts';
import { KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import type { MachineView } from '../../src/node/machine.ts';

export const BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_CODENAME=bookworm\n';
export const NOBLE = 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nVERSION_CODENAME=noble\n';

export const DEBIAN_SOURCES = `Types: deb
# a comment of the image's maker
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.invalid/debian-security
Suites: bookworm-security
Components: main
`;

export type FakeMachine = {
  readonly files?: Readonly<Record<string, string>>;
  /** Standard output by command line. */
  readonly programs?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly view?: Partial<MachineView>;
};

/** Makes a Linux container on glibc 2.36 with nothing installed but what is given. */
export function fakeMachine({ files = {}, programs = {}, env = {}, view = {} }: FakeMachine = {}): MachineFacts {
  const all: Record<string, string> = { '/etc/os-release': BOOKWORM, ...files };
  return machineFacts({
    platform: 'linux',
    arch: 'x64',
    kernel: '6.1.0',
    glibc: '2.36',
    node: '20.19.0',
    nibble: '0.1.0',
    webgpu: '0.6.2',
    cores: 2,
    memoryBytes: 8 * 2 ** 30,
    isRoot: true,
    env,
    home: '/home/someone',
    readText: (path) => all[path] ?? null,
    list: (path) => {
      const below = Object.keys(all).filter((file) => file.startsWith(`${path}/`));
      return [...new Set(below.map((file) => file.slice(path.length + 1).split('/')[0] ?? ''))].sort();
    },
    canOpen: (path) => all[path] !== 'locked',
    output: (...words) => programs[words.join(' ')] ?? null,
    ...view,
  });
}

/** Output of `ldconfig -p` with these libraries. */
export function ldconfig(...libraries: string[]): Record<string, string> {
  const lines = libraries.map((name) => `\t${name} (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/${name}`);
  return { 'ldconfig -p': `${lines.length} libs found in cache\n${lines.join('\n')}\n` };
}

export function dpkgMesa(version: string): Record<string, string> {
  return {
    'dpkg-query -s mesa-vulkan-drivers': `Package: mesa-vulkan-drivers\nStatus: install ok installed\nVersion: ${version}\n`,
  };
}

export const SMI = { 'nvidia-smi --query-gpu=name,driver_version --format=csv,noheader': 'NVIDIA L4, 570.86.15\n' };

export const icd = (library: string): string =>
  JSON.stringify({ file_format_version: '1.0.0', ICD: { library_path: library, api_version: '1.3.0' } });

export function fakeDevice(
  name: 'swiftshader' | 'lavapipe' | 'nvidia',
  changes: Partial<DeviceFacts> = {},
): DeviceFacts {
  const profile = KNOWN_PROFILES[name];
  if (profile === undefined) throw new Error(`no profile ${name}`);
  return {
    profile,
    backend: 'vulkan',
    adapter: {
      vendor: name === 'nvidia' ? 'nvidia' : 'google',
      architecture: '',
      device: `${name}-device-`,
      description: `${name} driver 1.2`,
      isFallbackAdapter: profile.software,
      features: ['timestamp-query', ...(profile.shaderF16 ? ['shader-f16'] : [])],
      limits: { maxBufferSize: profile.limits.maxBufferSize },
      toggles: [],
    },
    subnormals: {
      f32: { operands: 'flushed', results: 'kept' },
      f16: profile.shaderF16 ? { operands: 'kept', results: 'kept' } : null,
    },
    selfTests: [{ name: 'add', passed: true, error: 0, limit: 0 }],
    compile: { kernel: 'matmul_nt', compileMs: 12.3, firstRunMs: 4.56, laterRunMs: 0.5 },
    ...changes,
  };
}

export const found = (device: DeviceFacts): Probe => ({ device, error: null, driverLog: '' });
export const notFound = (error: string, driverLog = ''): Probe => ({ device: null, error, driverLog });
