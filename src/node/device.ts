/** Dawn in Node: finds an adapter (a real GPU; lavapipe; SwiftShader from npm) and opens it with the limits and features we use. */
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { DeviceError } from '../errors.ts';
import { type DeviceInfo, Device } from '../gpu/device.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import { ShaderLibrary } from '../gpu/kernel.ts';
import { matrixConfigOf } from '../gpu/subgroup-matrix.ts';
import { bestTier } from '../gpu/tier.ts';
import type { DeviceChoice } from './device-choice.ts';
import { unpackSwiftShader } from './swiftshader.ts';
import { readTuning, tuningKey } from './tuning.ts';

/** Both are needed for f16 on NVIDIA's Vulkan driver, and the first for subgroup matrices (Dawn crbug 42251215). */
const ENABLED_TOGGLES = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];
/**
 * Bounds clamping costs 25 to 60 % on SwiftShader, 14 to 23 % on GPUs; host halves check sizes, and tests run with it. No kernel reads
 * workgroup memory that it has not written, or divides by what can be zero: what clears the one and guards the other goes as well
 * (not measured on a GPU).
 */
const UNCHECKED_TOGGLES = ['disable_robustness', 'disable_workgroup_init', 'disable_polyfills_on_integer_div_and_mod'];
/** Its default rounds timestamps to 65.5 us. */
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
 * Dawn aborts the process once the object from create() is collected while a device of it lives, and Node does not exit while
 * it is held: so it is pinned here for as long as its device is open.
 */
const pinned = new Map<Device, GPU>();

/** Turns of the event loop in which Dawn's last callbacks run. */
const DRAIN_TURNS = 20;

/**
 * Destroys the device and lets go of Dawn, so that Node can exit. Dawn still ticks for a moment after a device is lost; collected
 * too early, that tick locks a mutex that is gone and the process hangs (seen with webgpu 0.6.2).
 */
export async function closeDevice(device: Device): Promise<void> {
  device.destroy();
  await device.gpu.lost;
  for (let turn = 0; turn < DRAIN_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
  pinned.delete(device);
}

const SHADER_DIRECTORY = new URL('../../shaders/', import.meta.url);

let library: ShaderLibrary | null = null;

/** All shader text, read and linked once in a process, however many devices it opens. */
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
  /** Leaves out what makes wrong kernels harmless: bounds checks, cleared workgroup memory, guarded division. */
  readonly unchecked?: boolean;
  /** Folder of the tiles that `nibble tune-kernels` found; without it the defaults are taken. */
  readonly tuning?: string;
  /** Smaller limits than the adapter's, for tests. */
  readonly limits?: Partial<Record<string, number>>;
};

/** @throws DeviceError when no adapter of the chosen kind can be had, saying what was tried; DataError for a broken tuning file */
export async function openDevice(options: OpenOptions = {}): Promise<Device> {
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
  const device = new Device({ gpu, profile, info: description, shaders: loadShaders(), notices });
  pinned.set(device, instance);
  return device;
}

/** An adapter, and the object from create() that it came from. */
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
    // left set, every adapter asked for later in this process would be SwiftShader
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

/** RTLD_NODELETE: without it Node closes the library again, since it registers no addon. */
const RTLD_NODELETE = 0x1000;

/** Loads a shared library for its symbols. Node throws in either case; only a library that was not found says so. */
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

/** `lavapipe`, `swiftshader`, or null for hardware. */
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
