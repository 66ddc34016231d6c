/** Findings about Mesa: lavapipe where there is no GPU, and the drivers of AMD's and Intel's GPUs. */
import { aptInstall, installFromBackports } from './apt.ts';
import type { Finding, MachineFacts, Probe } from './types.ts';

/** Oldest version seen to work. Dawn refuses 22.3, which lacks dynamic indexing of uniform arrays. */
const MESA_WANTED = 25;
const PACKAGES = ['mesa-vulkan-drivers', 'libvulkan1'];

/** Returns findings where no GPU is in use on Linux; `asked` is NIBBLE_DEVICE's choice. */
export function mesaFindings(machine: MachineFacts, probe: Probe, asked: string): Finding[] {
  if (machine.platform !== 'linux' || (probe.device !== null && !probe.device.profile.software)) return [];
  const locked = machine.renderNodes.filter((node) => !node.accessible);
  if (locked.length > 0) return [noPermission(locked.map((node) => node.path))];
  if (probe.device?.profile.name === 'lavapipe') return [];
  // NVIDIA's own driver is the better remedy, and its findings say how
  if (machine.nvidia !== null) return [];
  return [mesaMissing(machine, asked)];
}

function noPermission(paths: readonly string[]): Finding {
  return {
    id: 'render-node-permission',
    level: 'problem',
    what: `this user may not open ${paths.join(', ')}`,
    fix: 'sudo usermod -aG render "$USER"   # then log in again',
  };
}

function mesaMissing(machine: MachineFacts, asked: string): Finding {
  const { mesa } = machine.vulkan;
  const gpu = machine.renderNodes.find((node) => node.vendor === 'amd' || node.vendor === 'intel');
  const fix = installCommand(machine);
  if (mesa !== null && majorOf(mesa) < MESA_WANTED) {
    const what = `Mesa ${mesa} is installed, and WebGPU's Dawn refuses it: ${MESA_WANTED} or later is needed`;
    return { id: 'mesa-too-old', level: 'problem', what, fix };
  }
  if (gpu !== undefined && mesa === null) {
    return {
      id: 'mesa-missing',
      level: 'problem',
      what: `there is an ${gpu.vendor} GPU, but no Vulkan driver for it`,
      fix,
    };
  }
  return {
    id: 'no-gpu',
    level: 'advice',
    what: "no GPU was found. Of the software drivers, Mesa's lavapipe is 3 to 5 times faster than SwiftShader and has f16",
    fix:
      mesa === null
        ? fix
        : asked === 'swiftshader'
          ? 'NIBBLE_DEVICE=lavapipe   # or unset it: lavapipe is installed'
          : null,
  };
}

function majorOf(version: string): number {
  return Number(/^(?:\d+:)?(\d+)/.exec(version)?.[1] ?? 0);
}

const OTHER_PACKAGE_MANAGERS: Readonly<Record<string, string>> = {
  fedora: 'dnf install -y mesa-vulkan-drivers vulkan-loader',
  rhel: 'dnf install -y mesa-vulkan-drivers vulkan-loader',
  arch: 'pacman -S vulkan-swrast vulkan-icd-loader',
};

/** Makes the install command: from backports on Debian 12; later releases and Ubuntu have a Mesa that is new enough. */
function installCommand({ os, backports, isRoot }: MachineFacts): string {
  if (os.id === 'debian' && os.codename === 'bookworm') {
    return backports === null
      ? "add bookworm-backports to this machine's apt sources, then apt-get update and apt-get install -t bookworm-backports mesa-vulkan-drivers libvulkan1"
      : installFromBackports(backports, PACKAGES, isRoot);
  }
  const other = OTHER_PACKAGE_MANAGERS[os.id];
  return other === undefined ? aptInstall(PACKAGES, isRoot) : `${isRoot ? '' : 'sudo '}${other}`;
}
