/** What a device can do, as plain data: all that recording a plan needs, so that an estimate needs no GPU. */

/**
 * Matmul families, most portable first: register tiles alone; workgroup tiles; tensor cores. `matmul_tier` and `nibble doctor` use
 * these words, src/gpu/tier.ts chooses among them.
 */
export type Tier = 'direct' | 'simt' | 'subgroup_matrix';

/** A product of f16 matrices with f32 sums that the device does in one built-in: (M, K) . (K, N) by `subgroupSize` lanes. */
export type MatrixConfig = {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly subgroupSize: number;
  /** The device has several subgroup sizes: the kernel has to name its own. */
  readonly sized: boolean;
  /** The device gathers a right matrix whose lines run along its columns by halves: the kernel stages it turned. */
  readonly turned?: boolean;
};

/** Tile of a workgroup and of a thread in shaders/matmul_simt.wgsl: rows, columns, depth. Thread tiles are multiples of 4. */
export type SimtTile = {
  readonly BM: number;
  readonly BN: number;
  readonly BK: number;
  readonly TM: number;
  readonly TN: number;
};

/**
 * A workgroup's grid of subgroups, each subgroup's grid of matrices, and the depth staged at a time, in elements. With 2 stages the
 * tiles have two buffers and a round one barrier.
 */
export type MatrixTile = {
  readonly subgroupRows: number;
  readonly subgroupCols: number;
  readonly matrixRows: number;
  readonly matrixCols: number;
  readonly BK: number;
  readonly stages: number;
};

/**
 * Tiles that `nibble tune-kernels` found fastest, by kind of product; the defaults where absent. `matrixSmall`: where the tiles of
 * `matrix` would be too few for a GPU.
 */
export type TunedTiles = {
  readonly simt?: SimtTile;
  readonly simtF16?: SimtTile;
  readonly matrix?: MatrixTile;
  readonly matrixSmall?: MatrixTile;
};

export type ProfileLimits = {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupStorageSize: number;
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
  /** Whether WGSL `subgroups` can be enabled; absent: yes. Kernels with subgroup matrices enable it. */
  readonly subgroups?: boolean;
  /** The largest f16 product with f32 sums; null without the features or such a product. */
  readonly subgroupMatrix: MatrixConfig | null;
  /** The tier that matrix products take unless another is asked for. */
  readonly tier: Tier;
  readonly tiles?: TunedTiles;
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

const KIB = 2 ** 10;
const GIB = 2 ** 30;

/** Limits of Dawn on Vulkan where the driver allows more than a size of 32 bits holds, in whole words. */
const UINT32_WORDS = 4 * GIB - 4;

/**
 * Profiles to estimate against. Limits are those that Dawn asks of each maker's driver, read in its source and in the
 * driver's. NVIDIA's 2 GiB - 4 storage binding is Dawn's cap on its Vulkan driver (crbug 435684920). AMD: Mesa's RADV
 * (radv_constants.h, radv_physical_device.c), with the matrices of RDNA3. Intel: Mesa's ANV (isl.c), whose matrices are
 * left out, since which lanes they take differs by chip. Apple: Dawn on Metal (PhysicalDeviceMTL.mm), whose f16 matrices
 * have f16 sums.
 */
export const KNOWN_PROFILES: Readonly<Record<string, DeviceProfile>> = {
  nvidia: {
    name: 'nvidia',
    software: false,
    limits: {
      maxBufferSize: 2 ** 40,
      maxStorageBufferBindingSize: 2 * GIB - 4,
      maxComputeWorkgroupsPerDimension: 65_535,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupStorageSize: 48 * KIB,
      maxStorageBuffersPerShaderStage: 16,
    },
    shaderF16: true,
    timestampQuery: true,
    subgroupMatrix: { M: 16, N: 16, K: 16, subgroupSize: 32, sized: false },
    tier: 'subgroup_matrix',
    workgroupSize: 64,
  },
  amd: {
    name: 'amd',
    software: false,
    limits: {
      maxBufferSize: UINT32_WORDS,
      maxStorageBufferBindingSize: UINT32_WORDS,
      maxComputeWorkgroupsPerDimension: 65_535,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupStorageSize: 64 * KIB,
      maxStorageBuffersPerShaderStage: 16,
    },
    shaderF16: true,
    timestampQuery: true,
    subgroupMatrix: { M: 16, N: 16, K: 16, subgroupSize: 32, sized: true, turned: true },
    tier: 'subgroup_matrix',
    workgroupSize: 64,
  },
  intel: {
    name: 'intel',
    software: false,
    limits: {
      maxBufferSize: 4 * GIB,
      maxStorageBufferBindingSize: UINT32_WORDS,
      maxComputeWorkgroupsPerDimension: 65_535,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupStorageSize: 64 * KIB,
      maxStorageBuffersPerShaderStage: 16,
    },
    shaderF16: true,
    timestampQuery: true,
    subgroupMatrix: null,
    tier: 'simt',
    workgroupSize: 64,
  },
  apple: {
    name: 'apple',
    software: false,
    limits: {
      maxBufferSize: UINT32_WORDS,
      maxStorageBufferBindingSize: UINT32_WORDS,
      maxComputeWorkgroupsPerDimension: 65_535,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupStorageSize: 32 * KIB,
      maxStorageBuffersPerShaderStage: 10,
    },
    shaderF16: true,
    timestampQuery: true,
    subgroupMatrix: null,
    tier: 'simt',
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
      maxComputeWorkgroupStorageSize: 32 * KIB,
      maxStorageBuffersPerShaderStage: 16,
    },
    shaderF16: true,
    timestampQuery: true,
    subgroupMatrix: null,
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
      maxComputeWorkgroupStorageSize: 16 * KIB,
      maxStorageBuffersPerShaderStage: 12,
    },
    shaderF16: false,
    timestampQuery: true,
    subgroupMatrix: null,
    tier: 'direct',
    workgroupSize: 64,
  },
};
