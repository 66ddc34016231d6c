/**
 * Opens a device through Dawn in Node (a real GPU, lavapipe, or SwiftShader from npm) with the limits and features
 * nibble uses.
 */
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { DeviceError } from '../errors.ts';
import { Device, type DeviceInfo } from '../gpu/device.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import { ShaderLibrary } from '../gpu/kernel.ts';
import { matrixConfigOf } from '../gpu/subgroup-matrix.ts';
import { bestTier } from '../gpu/tier.ts';
import type { DeviceChoice } from './device-choice.ts';
import { restFor } from './rest.ts';
import { unpackSwiftShader } from './swiftshader.ts';
import { readTuning, tuningKey } from './tuning.ts';

/** f16 on NVIDIA's Vulkan driver needs both, subgroup matrices need the first (Dawn crbug 42251215). */
const ENABLED_TOGGLES = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];
/**
 * Turns off bounds clamping, which costs 25 to 60 % on SwiftShader and 14 to 23 % on GPUs: host halves check sizes, and
 * tests run with it. Clearing of workgroup memory and guarded division go as well (not measured on a GPU): kernels read
 * only workgroup memory they have written, and never divide by zero.
 */
const UNCHECKED_TOGGLES = ['disable_robustness', 'disable_workgroup_init', 'disable_polyfills_on_integer_div_and_mod'];
/** Dawn's default rounds timestamps to 65.5 us. */
const DISABLED_TOGGLES = ['timestamp_quantization'];

/** Tensor cores (Dawn's name; @webgpu/types does not know it), and the feature that names a subgroup size. */
const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix' as GPUFeatureName;
const SUBGROUP_SIZE_CONTROL: GPUFeatureName = 'subgroup-size-control';
const WANTED_FEATURES: readonly GPUFeatureName[] = [
  'shader-f16',
  'timestamp-query',
  'subgroups',
  SUBGROUP_MATRIX,
  SUBGROUP_SIZE_CONTROL,
];
const WANTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupsPerDimension',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupStorageSize',
  'maxStorageBuffersPerShaderStage',
] as const;

/**
 * Holds each object from create() for as long as its device is open. Dawn aborts the process when the object is
 * collected earlier, and Node does not exit while it is held (webgpu 0.6.2).
 */
const pinned = new Map<Device, GPU>();

/** Turns of the event loop that Dawn's last callbacks need. */
const DRAIN_TURNS = 20;

/**
 * Destroys the device and lets go of Dawn, so that Node can exit. Dawn still ticks for a moment after a device is lost;
 * were it collected before, the tick would lock a mutex that is gone, and the process would hang (seen with webgpu
 * 0.6.2).
 */
export async function closeDevice(device: Device): Promise<void> {
  device.destroy();
  await device.gpu.lost;
  for (let turn = 0; turn < DRAIN_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
  pinned.delete(device);
}

const SHADER_DIRECTORY = new URL('../../shaders/', import.meta.url);

let library: ShaderLibrary | null = null;

/** Reads and links all shader text, once in a process for all its devices. */
export function loadShaders(): ShaderLibrary {
  library ??= readShaders();
  return library;
}

function readShaders(): ShaderLibrary {
  const files = readdirSync(SHADER_DIRECTORY, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.wgsl'));
  return new ShaderLibrary(
    new Map(files.map((f) => [f.replaceAll('\\', '/'), readFileSync(new URL(f, SHADER_DIRECTORY), 'utf8')])),
  );
}

export type OpenOptions = {
  readonly device?: DeviceChoice;
  /** Leaves out the guards against wrong kernels: bounds checks, cleared workgroup memory, guarded division. */
  readonly unchecked?: boolean;
  /** Folder of the tiles that `nibble tune-kernels` found; default tiles without it. */
  readonly tuning?: string;
  /** Limits below the GPU's own, for tests. */
  readonly limits?: Partial<Record<string, number>>;
};

/**
 * Opens a device of the chosen kind; `closeDevice` ends it.
 * @throws DeviceError when there is none of that kind, or the driver refuses it; DataError for a broken tuning file
 */
export function openDevice(options: OpenOptions = {}): Promise<Device> {
  const opened = lastOpening.then(() => open(options));
  lastOpening = opened.catch(() => undefined);
  return opened;
}

/** Settles when no device is being opened: one opening after another, since the environment chooses between drivers. */
let lastOpening: Promise<unknown> = Promise.resolve();

async function open(options: OpenOptions): Promise<Device> {
  const toggles = [...ENABLED_TOGGLES, ...(options.unchecked === true ? UNCHECKED_TOGGLES : [])];
  const { instance, adapter } = await findAdapter(options.device ?? 'auto', toggles);
  const requiredFeatures = WANTED_FEATURES.filter((f) => adapter.features.has(f));
  const requiredLimits = Object.fromEntries(
    WANTED_LIMITS.map((name) => [name, options.limits?.[name] ?? adapter.limits[name]]),
  );
  let gpu: GPUDevice;
  try {
    gpu = await adapter.requestDevice({ label: 'nibble', requiredFeatures, requiredLimits });
  } catch (error) {
    throw new DeviceError(`${adapter.info.description}: the device was refused: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const description = describe(adapter, toggles);
  const facts = profileOf(adapter, gpu);
  let tuned: ReturnType<typeof readTuning> | null = null;
  try {
    if (options.tuning !== undefined) tuned = readTuning(options.tuning, tuningKey(description), facts);
  } catch (error) {
    gpu.destroy();
    await gpu.lost;
    throw error;
  }
  const profile = tuned === null ? facts : { ...facts, tiles: tuned.tiles };
  const notices = tuned?.notice == null ? [] : [tuned.notice];
  const device = new Device({
    gpu,
    profile,
    info: description,
    shaders: loadShaders(),
    notices,
    rest: restFor(profile.software),
  });
  pinned.set(device, instance);
  return device;
}

/** A WebGPU adapter with the object from create() that it came from. */
type Found = { readonly instance: GPU; readonly adapter: GPUAdapter };

async function findAdapter(choice: DeviceChoice, toggles: readonly string[]): Promise<Found> {
  if (choice === 'swiftshader') return requireAdapter(await swiftShaderAdapter(toggles), 'SwiftShader');
  const system = hasVulkanLoader() ? await requestAdapter(toggles) : null;
  const isSoftware = system !== null && softwareName(system.adapter) !== null;
  if (choice === 'gpu') return requireAdapter(isSoftware ? null : system, 'a hardware GPU');
  if (choice === 'lavapipe')
    return requireAdapter(system !== null && softwareName(system.adapter) === 'lavapipe' ? system : null, 'lavapipe');
  return system ?? requireAdapter(await swiftShaderAdapter(toggles), 'SwiftShader');
}

function requireAdapter(found: Found | null, what: string): Found {
  if (found === null)
    throw new DeviceError(
      `no WebGPU adapter for ${what}: run \`nibble doctor\` to see what is missing and how to mend it`,
    );
  return found;
}

async function requestAdapter(toggles: readonly string[]): Promise<Found | null> {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const instance = create([
    `enable-dawn-features=${toggles.join(',')}`,
    `disable-dawn-features=${DISABLED_TOGGLES.join(',')}`,
  ]);
  const adapter = await instance.requestAdapter({ powerPreference: 'high-performance' });
  return adapter === null ? null : { instance, adapter };
}

async function swiftShaderAdapter(toggles: readonly string[]): Promise<Found | null> {
  const { loader, icd } = await unpackSwiftShader();
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES } = process.env;
  Object.assign(process.env, { VK_ICD_FILENAMES: icd, VK_DRIVER_FILES: icd });
  try {
    loadLibrary(loader);
    return await requestAdapter(toggles);
  } finally {
    // left set, they would make every later device of this process SwiftShader
    restoreEnv({ VK_ICD_FILENAMES, VK_DRIVER_FILES });
  }
}

function restoreEnv(before: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

/** Whether the dynamic linker finds a Vulkan loader on this machine. */
function hasVulkanLoader(): boolean {
  return loadLibrary('libvulkan.so.1');
}

/** Keeps the library open, which Node would close again since it registers no addon. */
const RTLD_NODELETE = 0x1000;

/** Loads a shared library for its symbols. Node always throws: of a missing addon where the library was found. */
function loadLibrary(file: string): boolean {
  if (process.platform !== 'linux') return true;
  const { RTLD_NOW, RTLD_GLOBAL } = os.constants.dlopen;
  try {
    process.dlopen({ exports: {} }, file, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    return true;
  } catch (error) {
    return (error as Error).message.includes('did not self-register');
  }
}

/** Name of the software driver; null for hardware. */
function softwareName(adapter: { readonly info: GPUAdapterInfo }): 'lavapipe' | 'swiftshader' | null {
  const text =
    `${adapter.info.vendor} ${adapter.info.architecture} ${adapter.info.device} ${adapter.info.description}`.toLowerCase();
  if (text.includes('swiftshader')) return 'swiftshader';
  return text.includes('llvmpipe') || text.includes('lavapipe') ? 'lavapipe' : null;
}

function profileOf(adapter: GPUAdapter, gpu: GPUDevice): DeviceProfile {
  const software = softwareName(adapter);
  const { limits, features } = gpu;
  const subgroups = features.has('subgroups');
  const hasMatrices = features.has(SUBGROUP_MATRIX) && features.has('shader-f16') && subgroups;
  const facts = {
    name: software ?? (adapter.info.description || adapter.info.device || adapter.info.vendor),
    software: software !== null,
    limits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    },
    shaderF16: features.has('shader-f16'),
    timestampQuery: features.has('timestamp-query'),
    subgroups,
    subgroupMatrix: hasMatrices ? matrixConfigOf(adapter.info, features.has(SUBGROUP_SIZE_CONTROL)) : null,
    workgroupSize: 64,
  };
  return { ...facts, tier: bestTier(facts).tier };
}

function describe(adapter: GPUAdapter, toggles: readonly string[]): DeviceInfo {
  const { info } = adapter;
  const limits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof value === 'number') limits[name] = value;
  }
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    isFallbackAdapter: info.isFallbackAdapter,
    features: [...adapter.features].sort(),
    limits,
    toggles: [...toggles, ...DISABLED_TOGGLES.map((t) => `!${t}`)],
  };
}
