/** Reads the facts of a machine through a view of its files and programs, which tests replace. */
import type { MachineView } from '../node/machine.ts';
import { backportsSource } from './apt.ts';
import type { BackportsSource, IcdFile, MachineFacts, NvidiaFacts, VulkanFacts } from './types.ts';

const LOADER = 'libvulkan.so.1';
const ICD_FOLDERS = ['/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/usr/share/vulkan/icd.d'];
const USER_ICD_FOLDER = '.local/share/vulkan/icd.d';
/** Variables for driver files: the first two name the only drivers to use, the last adds to them. */
const DRIVER_VARIABLES = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'VK_ADD_DRIVER_FILES'];

/** Libraries that NVIDIA's Vulkan driver loads: its own parts, then those of glvnd and X that it links against. */
const NVIDIA_LIBRARIES = ['libGLX_nvidia.so.0', 'libEGL_nvidia.so.0', 'libnvidia-glvkspirv.so'] as const;
/** Libraries of glvnd and X that NVIDIA's driver links against. */
export const GLVND_LIBRARIES = ['libEGL.so.1', 'libGLdispatch.so.0', 'libXext.so.6'] as const;

/** Reads all facts. Absent things are null or empty, never an error. */
export function machineFacts(view: MachineView): MachineFacts {
  const os = osRelease(view);
  const libraries = view.platform === 'linux' ? linkedLibraries(view) : new Map<string, string>();
  return {
    platform: view.platform,
    arch: view.arch,
    kernel: view.kernel,
    os,
    glibc: view.glibc,
    node: view.node,
    nibble: view.nibble,
    webgpu: view.webgpu,
    cores: view.cores,
    memoryBytes: view.memoryBytes,
    isRoot: view.isRoot,
    isGvisor: isGvisor(view),
    vulkan: vulkanFacts(view, libraries),
    nvidia: nvidiaFacts(view, libraries),
    renderNodes: renderNodes(view),
    backports: aptBackports(view, os.id, os.codename),
  };
}

/** The kernel that gVisor pretends to be, whatever the host has. */
const GVISOR_KERNEL = 'Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016';

function isGvisor(view: MachineView): boolean {
  return (view.readText('/proc/version') ?? '').trim() === GVISOR_KERNEL;
}

function osRelease(view: MachineView): MachineFacts['os'] {
  const text = view.readText('/etc/os-release') ?? '';
  const field = (name: string): string => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  return { id: field('ID'), codename: field('VERSION_CODENAME'), name: field('PRETTY_NAME') || view.platform };
}

/** Maps names to paths of libraries in the dynamic linker's cache and in LD_LIBRARY_PATH, which wins. */
function linkedLibraries(view: MachineView): Map<string, string> {
  const cache = view.output('ldconfig', '-p') ?? view.output('/sbin/ldconfig', '-p') ?? '';
  const found = new Map<string, string>();
  for (const [, name = '', path = ''] of cache.matchAll(/^\s*(\S+) .*=> (\S+)$/gm)) {
    if (!found.has(name)) found.set(name, path);
  }
  for (const folder of (view.env.LD_LIBRARY_PATH ?? '').split(':').filter((f) => f !== '')) {
    for (const name of view.list(folder)) found.set(name, `${folder}/${name}`);
  }
  return found;
}

function vulkanFacts(view: MachineView, libraries: ReadonlyMap<string, string>): VulkanFacts {
  const env = Object.fromEntries(
    DRIVER_VARIABLES.map((name) => [name, view.env[name] ?? ''] as const).filter(([, value]) => value !== ''),
  );
  return {
    loader: libraries.get(LOADER) ?? null,
    icdFiles: icdPaths(view, env).map((path) => icdFile(view, path)),
    env,
    mesa: installedMesa(view),
  };
}

function icdPaths(view: MachineView, env: Readonly<Record<string, string>>): string[] {
  const split = (value: string | undefined): string[] => (value ?? '').split(':').filter((path) => path !== '');
  const only = split(env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES);
  const folders = [...(view.home === null ? [] : [`${view.home}/${USER_ICD_FOLDER}`]), ...ICD_FOLDERS];
  const named = only.length > 0 ? only : [...split(env.VK_ADD_DRIVER_FILES), ...folders];
  return named.flatMap((path) => {
    if (path.endsWith('.json')) return [path];
    return view
      .list(path)
      .filter((name) => name.endsWith('.json'))
      .map((name) => `${path}/${name}`);
  });
}

function icdFile(view: MachineView, path: string): IcdFile {
  const library = /"library_path"\s*:\s*"([^"]+)"/.exec(view.readText(path) ?? '')?.[1] ?? null;
  return { path, library };
}

function installedMesa(view: MachineView): string | null {
  const text = view.output('dpkg-query', '-s', 'mesa-vulkan-drivers') ?? '';
  if (!/^Status: .* installed$/m.test(text)) return null;
  return /^Version: (\S+)$/m.exec(text)?.[1] ?? null;
}

function nvidiaFacts(view: MachineView, libraries: ReadonlyMap<string, string>): NvidiaFacts | null {
  const smi = view.output('nvidia-smi', '--query-gpu=name,driver_version', '--format=csv,noheader');
  const proc = view.readText('/proc/driver/nvidia/version');
  const nodes = view.list('/dev').filter((name) => /^nvidia\d+$/.test(name));
  if (smi === null && proc === null && nodes.length === 0) return null;
  const rows = (smi ?? '')
    .trim()
    .split('\n')
    .map((line) => line.split(',').map((cell) => cell.trim()));
  const driver = rows[0]?.[1] ?? /Module\s+(?:for\s+\S+\s+)?(\d+\.[\d.]+)/.exec(proc ?? '')?.[1] ?? null;
  // versioned names count too: libnvidia-glvkspirv.so.570.86.15
  const names = [...libraries.keys()];
  const known = [...NVIDIA_LIBRARIES, ...GLVND_LIBRARIES].map(
    (library) => [library, names.some((name) => name.startsWith(library))] as const,
  );
  return {
    gpus: smi === null ? nodes.map((name) => `/dev/${name}`) : rows.map(([name = '']) => name),
    driver,
    userland: userlandVersion(names),
    capabilities: view.env.NVIDIA_DRIVER_CAPABILITIES ?? null,
    libraries: Object.fromEntries(known),
  };
}

/** Libraries of the driver that carry its version in their names, as the dynamic linker knows them. */
const VERSIONED = /^libnvidia-(?:glvkspirv|glcore|eglcore)\.so\.(\d+\.[\d.]+)$/;

function userlandVersion(names: readonly string[]): string | null {
  return names.map((name) => VERSIONED.exec(name)?.[1]).find((version) => version !== undefined) ?? null;
}

/** PCI vendors that Mesa drives. */
const PCI_VENDORS: Readonly<Record<string, string>> = { '0x1002': 'amd', '0x8086': 'intel', '0x10de': 'nvidia' };

function renderNodes(view: MachineView): MachineFacts['renderNodes'] {
  const names = view.list('/dev/dri').filter((name) => name.startsWith('renderD'));
  return names.map((name) => {
    const vendor = (view.readText(`/sys/class/drm/${name}/device/vendor`) ?? '').trim();
    return {
      path: `/dev/dri/${name}`,
      accessible: view.canOpen(`/dev/dri/${name}`),
      vendor: PCI_VENDORS[vendor] ?? vendor,
    };
  });
}

const APT_FOLDER = '/etc/apt/sources.list.d';

function aptBackports(view: MachineView, id: string, codename: string): BackportsSource | null {
  if (id !== 'debian') return null;
  const parts = view.list(APT_FOLDER).filter((name) => /\.(sources|list)$/.test(name));
  const paths = ['/etc/apt/sources.list', ...parts.map((name) => `${APT_FOLDER}/${name}`)];
  return backportsSource(new Map(paths.map((path) => [path, view.readText(path) ?? ''])), codename);
}
