/** Findings about an NVIDIA GPU that Vulkan does not reach although its driver is there, as in many containers. */
import { aptInstall } from './apt.ts';
import { GLVND_LIBRARIES } from './machine-facts.ts';
import { reasonOf } from './reason.ts';
import type { Finding, MachineFacts, NvidiaFacts, Probe } from './types.ts';

const GRAPHICS = 'NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics';
/** Debian and Ubuntu packages that NVIDIA's driver links against and slim images lack. */
const GLVND_PACKAGES = ['libvulkan1', 'libegl1', 'libglvnd0', 'libgl1', 'libglx0', 'libgles2', 'libxext6'];
const ICD_PATH = '/etc/vulkan/icd.d/nvidia_icd.json';

/**
 * Returns the first cause that fits, in the order in which they hide each other; none where the GPU works or is absent.
 */
export function nvidiaFindings(machine: MachineFacts, probe: Probe): Finding[] {
  const { nvidia } = machine;
  if (nvidia === null || probe.device?.adapter.vendor.toLowerCase() === 'nvidia') return [];
  const cause = [notMounted, glvndMissing, manifestMissing, tooOldForDriver, partlyMounted]
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

/** The container toolkit mounts the Vulkan driver only for the capability `graphics`. */
const notMounted: Rule = (nvidia, { isRoot }) => {
  if (hasVulkanDriver(nvidia)) return null;
  const { capabilities, driver } = nvidia;
  const set = capabilities?.split(',').map((c) => c.trim());
  const what = `${gpuOf(nvidia)} is here, but not the Vulkan part of its driver (libGLX_nvidia.so.0)`;
  if (set?.some((c) => c === 'graphics' || c === 'all')) {
    const packages = [`libnvidia-gl-${driver?.split('.')[0] ?? 'VERSION'}`];
    return problem(
      'nvidia-driver-libraries',
      `${what}, although ${capabilities} was asked for`,
      aptInstall(packages, isRoot),
    );
  }
  const had =
    capabilities === null ? 'NVIDIA_DRIVER_CAPABILITIES is not set' : `NVIDIA_DRIVER_CAPABILITIES is ${capabilities}`;
  return problem(
    'nvidia-capability-graphics',
    `${what}: ${had}, and only "graphics" mounts it`,
    `docker run --gpus all -e ${GRAPHICS} ...   # in a Dockerfile: ENV ${GRAPHICS}; outside a container install libnvidia-gl`,
  );
};

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

const partlyMounted: Rule = (nvidia, { isRoot }) => {
  if (nvidia.libraries['libnvidia-glvkspirv.so'] === true) return null;
  return problem(
    'nvidia-partly-mounted',
    `${gpuOf(nvidia)}: libnvidia-glvkspirv.so is missing, so its Vulkan driver cannot compile a shader`,
    `${aptInstall([`libnvidia-gl-${nvidia.driver?.split('.')[0] ?? 'VERSION'}`], isRoot)}   # or a newer NVIDIA container toolkit on the host`,
  );
};

function unknownCause(nvidia: NvidiaFacts, probe: Probe): Finding {
  return problem(
    'nvidia-unknown',
    `${gpuOf(nvidia)} is here, yet WebGPU does not find it: ${reasonOf(probe)}`,
    'VK_LOADER_DEBUG=all nibble doctor --json   # its driverLog says what the Vulkan loader tried',
  );
}
