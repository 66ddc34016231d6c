/** What a device can do, as plain data: all that recording a plan needs, so that an estimate needs no GPU. */

/** Matmul families, slowest and most portable first. */
export type Tier = 'direct';

export type ProfileLimits = {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxStorageBuffersPerShaderStage: number;
};

export type DeviceProfile = {
  readonly name: string;
  /** A software driver: its times say nothing about a GPU. */
  readonly software: boolean;
  readonly limits: ProfileLimits;
  /** WGSL f16 is available. */
  readonly shaderF16: boolean;
  readonly timestampQuery: boolean;
  readonly tier: Tier;
  /** Invocations per workgroup of the elementwise and direct kernels. */
  readonly workgroupSize: number;
};

/**
 * Every tensor in a shared buffer starts at a multiple of this, whatever the device's own minimum is, so that the bytes
 * of a plan are the same on every device. 256 is the largest minimum that WebGPU allows a device to have.
 */
export const BINDING_ALIGNMENT = 256;

export function alignUp(bytes: number, alignment = BINDING_ALIGNMENT): number {
  return Math.ceil(bytes / alignment) * alignment;
}

const GIB = 2 ** 30;

/** Profiles to estimate against. NVIDIA's 2 GiB - 4 storage binding is Dawn's cap on its Vulkan driver. */
export const KNOWN_PROFILES: Readonly<Record<string, DeviceProfile>> = {
  nvidia: {
    name: 'nvidia',
    software: false,
    limits: {
      maxBufferSize: 2 ** 40,
      maxStorageBufferBindingSize: 2 * GIB - 4,
      maxComputeWorkgroupsPerDimension: 65_535,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxStorageBuffersPerShaderStage: 16,
    },
    shaderF16: true,
    timestampQuery: true,
    tier: 'direct',
    workgroupSize: 64,
  },
  lavapipe: {
    name: 'lavapipe',
    software: true,
    limits: {
      maxBufferSize: 4 * GIB,
      maxStorageBufferBindingSize: GIB / 8,
      maxComputeWorkgroupsPerDimension: 65_535,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxStorageBuffersPerShaderStage: 16,
    },
    shaderF16: true,
    timestampQuery: true,
    tier: 'direct',
    workgroupSize: 64,
  },
  swiftshader: {
    name: 'swiftshader',
    software: true,
    limits: {
      maxBufferSize: GIB,
      maxStorageBufferBindingSize: GIB,
      maxComputeWorkgroupsPerDimension: 65_535,
      maxComputeInvocationsPerWorkgroup: 256,
      maxStorageBuffersPerShaderStage: 12,
    },
    shaderF16: false,
    timestampQuery: true,
    tier: 'direct',
    workgroupSize: 64,
  },
};
