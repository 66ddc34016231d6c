/** Findings about an NVIDIA GPU that Vulkan does not reach although its driver is there, as in many containers. */
import { aptInstall } from './apt.ts';
import { GLVND_LIBRARIES } from './machine-facts.ts';
import { reasonOf } from './reason.ts';
import type { Finding, MachineFacts, NvidiaFacts, Probe } from './types.ts';

const GRAPHICS = 'NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics';
/** Debian and Ubuntu packages that NVIDIA's driver links against and slim images lack. */
export const GLVND_PACKAGES = ['libvulkan1', 'libegl1', 'libglvnd0', 'libgl1', 'libglx0', 'libgles2', 'libxext6'];
const ICD_PATH = '/etc/vulkan/icd.d/nvidia_icd.json';

/**
 * Returns the first cause that fits, in the order in which they hide each other; none where the GPU works or is absent.
 */
export function nvidiaFindings(machine: MachineFacts, probe: Probe): Finding[] {
  const { nvidia } = machine;
  if (nvidia === null || probe.device?.adapter.vendor.toLowerCase() === 'nvidia') return [];
  const cause = [notPassed, notMounted, otherVersion, glvndMissing, manifestMissing, tooOldForDriver, partlyMounted]
    .map((rule) => rule(nvidia, machine, probe))
    .find((finding) => finding !== null);
  return [cause ?? unknownCause(nvidia, probe)];
}

type Rule = (nvidia: NvidiaFacts, machine: MachineFacts, probe: Probe) => Finding | null;

const gpuOf = ({ gpus, driver }: NvidiaFacts): string =>
  `${gpus.join(', ')}${driver === null ? '' : ` (driver ${driver})`}`;

function problem(id: string, what: string, fix: string): Finding {
  return { id, level: 'problem', what, fix };
}

const hasVulkanDriver = ({ libraries }: NvidiaFacts): boolean =>
  libraries['libGLX_nvidia.so.0'] === true || libraries['libEGL_nvidia.so.0'] === true;

/** A container sees the host's driver in /proc whether or not it was given a GPU. */
const notPassed: Rule = ({ gpus, driver }) => {
  if (gpus.length > 0) return null;
  return problem(
    'nvidia-not-passed',
    `the host has NVIDIA's driver${driver === null ? '' : ` ${driver}`}, but none of its GPUs is passed into this container`,
    `docker run --gpus all -e ${GRAPHICS} ...   # in Kubernetes: resources.limits "nvidia.com/gpu": 1`,
  );
};

/**
 * The container toolkit mounts the Vulkan driver only for the capability `graphics`; platforms without that toolkit, gVisor
 * among them, mount none, and the image has to bring the one of the host's version.
 */
const notMounted: Rule = (nvidia, machine) => {
  if (hasVulkanDriver(nvidia)) return null;
  const { capabilities } = nvidia;
  const set = capabilities?.split(',').map((c) => c.trim());
  const what = `${gpuOf(nvidia)} is here, but not the Vulkan part of its driver (libGLX_nvidia.so.0)`;
  const isAsked = set?.some((c) => c === 'graphics' || c === 'display' || c === 'all') ?? false;
  if (isAsked || machine.isGvisor) {
    const although = isAsked ? `, although ${capabilities} was asked for` : '';
    const sandbox = machine.isGvisor ? '; this container runs on gVisor, which mounts none' : '';
    return problem('nvidia-userland-absent', `${what}${although}${sandbox}`, installUserland(nvidia, machine));
  }
  const had =
    capabilities === null ? 'NVIDIA_DRIVER_CAPABILITIES is not set' : `NVIDIA_DRIVER_CAPABILITIES is ${capabilities}`;
  return problem(
    'nvidia-capability-graphics',
    `${what}: ${had}, and only "graphics" mounts it`,
    `docker run --gpus all -e ${GRAPHICS} ...   # in a Dockerfile: ENV ${GRAPHICS}; outside a container install libnvidia-gl`,
  );
};

/** Both parts of a driver have to be of one version, so an image that brings its own fits one kind of host alone. */
const otherVersion: Rule = (nvidia, machine) => {
  const { driver, userland } = nvidia;
  if (driver === null || userland === null || driver === userland) return null;
  return problem(
    'nvidia-userland-version',
    `${gpuOf(nvidia)} cannot be opened: the Vulkan part of its driver is of version ${userland}`,
    installUserland(nvidia, machine),
  );
};

/** NVIDIA's names of processors. */
const RUN_ARCH: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

/** Two ways to the driver's libraries of the host's version: a package, or NVIDIA's own installer. */
function installUserland({ driver }: NvidiaFacts, { arch, isRoot }: MachineFacts): string {
  const version = driver ?? 'VERSION';
  const installer = `NVIDIA-Linux-${RUN_ARCH[arch] ?? arch}-${version}.run`;
  return (
    `${aptInstall([`libnvidia-gl-${version.split('.')[0]}`], isRoot)}   # of exactly ${version}; else NVIDIA's installer: ` +
    `${isRoot ? '' : 'sudo '}sh ${installer} --silent --no-kernel-module`
  );
}

/** Without glvnd's EGL the driver loads but lacks vkCreateInstance. */
const glvndMissing: Rule = (nvidia, { vulkan, isRoot }, { driverLog }) => {
  const missing: string[] = GLVND_LIBRARIES.filter((library) => nvidia.libraries[library] !== true);
  if (vulkan.loader === null) missing.unshift('libvulkan.so.1');
  if (missing.length === 0 && !/vkCreateInstance via vk_icdGetInstanceProcAddr/.test(driverLog)) return null;
  const lack =
    missing.length > 0
      ? `${missing.join(', ')} ${missing.length > 1 ? 'are' : 'is'} missing`
      : 'part of glvnd is missing';
  return problem(
    'nvidia-glvnd-missing',
    `${gpuOf(nvidia)} cannot be opened: ${lack}, which its Vulkan driver loads`,
    aptInstall(GLVND_PACKAGES, isRoot),
  );
};

const manifestMissing: Rule = (nvidia, { vulkan, isRoot }) => {
  if (vulkan.icdFiles.some(({ library }) => library?.includes('nvidia'))) return null;
  const library = nvidia.libraries['libGLX_nvidia.so.0'] === true ? 'libGLX_nvidia.so.0' : 'libEGL_nvidia.so.0';
  const manifest = `{"file_format_version":"1.0.1","ICD":{"library_path":"${library}","api_version":"1.3.0"}}`;
  const sudo = isRoot ? '' : 'sudo ';
  return problem(
    'nvidia-icd-missing',
    `${gpuOf(nvidia)} has its Vulkan driver here, but no file in icd.d tells the loader so`,
    `${sudo}mkdir -p /etc/vulkan/icd.d && echo '${manifest}' | ${sudo}tee ${ICD_PATH} && export VK_DRIVER_FILES=${ICD_PATH}`,
  );
};

/** The driver's libraries come from the host, and need a C library at least as new as the host's. */
const tooOldForDriver: Rule = (nvidia, { os, glibc }, { driverLog, error }) => {
  if (!/GLIBC_[\d.]+' not found|VK_ERROR_INITIALIZATION_FAILED/.test(`${driverLog}\n${error ?? ''}`)) return null;
  return problem(
    'nvidia-glibc',
    `${gpuOf(nvidia)}: its Vulkan driver does not start on ${os.name} (glibc ${glibc ?? 'unknown'}); it comes from a newer host`,
    'use a base image at least as new as the host: FROM ubuntu:24.04, or debian:trixie',
  );
};

/** What the dynamic linker says of a part that is not there. */
const PART_MISSING = /(libnvidia-[\w-]+\.so)[\d.]*: cannot open shared object file/;

const partlyMounted: Rule = (nvidia, machine, { driverLog }) => {
  const compiler = 'libnvidia-glvkspirv.so';
  const missing = PART_MISSING.exec(driverLog)?.[1] ?? (nvidia.libraries[compiler] === true ? null : compiler);
  if (missing === null) return null;
  const so = missing === compiler ? 'so its Vulkan driver cannot compile a shader' : 'which its Vulkan driver loads';
  return problem(
    'nvidia-partly-mounted',
    `${gpuOf(nvidia)}: ${missing} is missing, ${so}`,
    `a newer NVIDIA container toolkit on the host mounts it; or ${installUserland(nvidia, machine)}`,
  );
};

function unknownCause(nvidia: NvidiaFacts, probe: Probe): Finding {
  return problem(
    'nvidia-unknown',
    `${gpuOf(nvidia)} is here, yet WebGPU does not find it: ${reasonOf(probe)}`,
    'VK_LOADER_DEBUG=all nibble doctor --json   # its driverLog says what the Vulkan loader tried',
  );
}
