/** What the doctor looks at, and what it says. */
import type { DeviceInfo } from '../gpu/device.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { MachineView } from '../node/machine.ts';

/** Facts of the machine that decide whether WebGPU finds a driver. Versions as text; null for absent or unknown. */
export type MachineFacts = Pick<
  MachineView,
  'platform' | 'arch' | 'kernel' | 'glibc' | 'node' | 'nibble' | 'webgpu' | 'cores' | 'memoryBytes' | 'isRoot'
> & {
  readonly os: { readonly id: string; readonly codename: string; readonly name: string };
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
  /** VK_DRIVER_FILES and its like, as they are set. */
  readonly env: Readonly<Record<string, string>>;
  /** Version of the package mesa-vulkan-drivers. */
  readonly mesa: string | null;
};

/** A driver's manifest: `library` is null when the file is missing or not a manifest. */
export type IcdFile = { readonly path: string; readonly library: string | null };

/** Only where an NVIDIA driver is visible at all. */
export type NvidiaFacts = {
  readonly gpus: readonly string[];
  readonly driver: string | null;
  /** NVIDIA_DRIVER_CAPABILITIES; null when it is not set. */
  readonly capabilities: string | null;
  /** Libraries of the driver and of glvnd that the dynamic linker knows, out of those that Vulkan needs. */
  readonly libraries: Readonly<Record<string, boolean>>;
};

/** A file for /etc/apt/sources.list.d and its text. */
export type BackportsSource = { readonly file: string; readonly text: string; readonly suite: string };

/** What happens to a subnormal operand, and to a subnormal result of normal operands. */
export type Subnormals = { readonly operands: 'kept' | 'flushed'; readonly results: 'kept' | 'flushed' };

/** One comparison of a kernel with f64: `error` and `limit` are the largest absolute ones. */
export type SelfTest = {
  readonly name: string;
  readonly passed: boolean;
  readonly error: number | null;
  readonly limit: number;
};

export type CompileTimes = {
  readonly kernel: string;
  /** Linking the shader and making the pipeline; a driver's disk cache makes it shorter the second time. */
  readonly compileMs: number;
  /** The first dispatch: software drivers compile here. */
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

/** How opening the device and trying it went. `driverLog`: what Dawn and the Vulkan loader wrote meanwhile. */
export type Probe = {
  readonly device: DeviceFacts | null;
  readonly error: string | null;
  readonly driverLog: string;
};

/** `problem`: training cannot run until it is mended. `advice`: it runs, and could run better. */
export type Finding = {
  readonly id: string;
  readonly level: 'problem' | 'advice';
  readonly what: string;
  /** The exact command, or for a container the setting, that mends it; null where nothing has to be done. */
  readonly fix: string | null;
};

export type Examination = {
  readonly canTrain: boolean;
  readonly software: string | null;
  readonly machine: MachineFacts;
  readonly probe: Probe;
  readonly findings: readonly Finding[];
};
