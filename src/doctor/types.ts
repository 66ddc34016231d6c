/** Facts that the doctor reads, and findings that it returns. */
import type { DeviceInfo } from '../gpu/device.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { MachineView } from '../node/machine.ts';

/** Facts of the machine that decide whether WebGPU finds a driver. Versions as text; null for absent or unknown. */
export type MachineFacts = Pick<
  MachineView,
  'platform' | 'arch' | 'kernel' | 'glibc' | 'node' | 'nibble' | 'webgpu' | 'cores' | 'memoryBytes' | 'isRoot'
> & {
  readonly os: { readonly id: string; readonly codename: string; readonly name: string };
  /** Whether system calls go through gVisor, as on some platforms that rent GPUs. */
  readonly isGvisor: boolean;
  readonly vulkan: VulkanFacts;
  readonly nvidia: NvidiaFacts | null;
  /** Render nodes below /dev/dri, and whether this user may open them. */
  readonly renderNodes: readonly { readonly path: string; readonly accessible: boolean; readonly vendor: string }[];
  /** The machine's own apt entry for its release's backports; null where apt or that release is not there. */
  readonly backports: BackportsSource | null;
};

export type VulkanFacts = {
  /** Path of libvulkan.so.1 as the dynamic linker knows it. */
  readonly loader: string | null;
  readonly icdFiles: readonly IcdFile[];
  /** VK_DRIVER_FILES and its relatives, as they are set. */
  readonly env: Readonly<Record<string, string>>;
  /** Version of the package mesa-vulkan-drivers. */
  readonly mesa: string | null;
};

/** A driver's manifest: `library` is null when the file is missing or not a manifest. */
export type IcdFile = { readonly path: string; readonly library: string | null };

/** Facts of an NVIDIA driver, where one is visible. */
export type NvidiaFacts = {
  /** Empty where the driver of the host is seen, but none of its GPUs. */
  readonly gpus: readonly string[];
  /** Version of the kernel's part of the driver. */
  readonly driver: string | null;
  /** Version of the part that programs load; null where none is there, or none that tells. */
  readonly userland: string | null;
  /** NVIDIA_DRIVER_CAPABILITIES; null when it is not set. */
  readonly capabilities: string | null;
  /** Whether the dynamic linker knows each library of the driver and of glvnd that Vulkan needs. */
  readonly libraries: Readonly<Record<string, boolean>>;
};

/** A file for /etc/apt/sources.list.d, its text and its suite. */
export type BackportsSource = { readonly file: string; readonly text: string; readonly suite: string };

/** Treatment of a subnormal operand, and of a subnormal result of normal operands. */
export type Subnormals = { readonly operands: 'kept' | 'flushed'; readonly results: 'kept' | 'flushed' };

/** A comparison of a kernel with f64: its largest absolute error, null for NaN, and the largest allowed. */
export type SelfTest = {
  readonly name: string;
  readonly passed: boolean;
  readonly error: number | null;
  readonly limit: number;
};

export type CompileTimes = {
  readonly kernel: string;
  /** Time to link the shader and make the pipeline; shorter the second time where a driver has a disk cache. */
  readonly compileMs: number;
  /** Time of the first dispatch, in which software drivers compile. */
  readonly firstRunMs: number;
  readonly laterRunMs: number;
};

export type DeviceFacts = {
  readonly profile: DeviceProfile;
  readonly adapter: DeviceInfo;
  readonly backend: string;
  readonly subnormals: { readonly f32: Subnormals; readonly f16: Subnormals | null };
  readonly selfTests: readonly SelfTest[];
  readonly compile: CompileTimes;
};

/** Result of opening and trying the device; `driverLog` is what Dawn and the Vulkan loader wrote meanwhile. */
export type Probe = {
  readonly device: DeviceFacts | null;
  readonly error: string | null;
  readonly driverLog: string;
};

/** A `problem` keeps training from running until it is mended; with `advice` it would run better. */
export type Finding = {
  readonly id: string;
  readonly level: 'problem' | 'advice';
  readonly what: string;
  /** Exact command, or setting of a container, that mends it; null where nothing has to be done. */
  readonly fix: string | null;
};

export type Examination = {
  readonly canTrain: boolean;
  readonly software: string | null;
  readonly machine: MachineFacts;
  readonly probe: Probe;
  readonly findings: readonly Finding[];
};
