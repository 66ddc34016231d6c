/** Chooses the family of matmul kernels of a run: the best that its device can do, or the one that was asked for. */
import { DeviceError } from '../errors.ts';
import type { DeviceProfile, Tier } from './device-profile.ts';

export type TierChoice = 'auto' | Tier;
export type ChosenTier = { readonly tier: Tier; readonly reason: string };

/** Invocations and workgroup memory of the default 64 x 64 tile: 2 x 16 rows of 17 vec4f. */
const SIMT_INVOCATIONS = 256;
const SIMT_STORAGE_BYTES = 2 * 16 * 17 * 16;

type Facts = Omit<DeviceProfile, 'tier' | 'tiles'>;

/** Why a device cannot do a tier; null when it can. */
export function obstacle(profile: Facts, tier: Tier): string | null {
  const { limits } = profile;
  if (tier === 'direct') return null;
  if (tier === 'simt') {
    return limits.maxComputeInvocationsPerWorkgroup < SIMT_INVOCATIONS ||
      limits.maxComputeWorkgroupStorageSize < SIMT_STORAGE_BYTES
      ? `it allows ${limits.maxComputeInvocationsPerWorkgroup} invocations and ${limits.maxComputeWorkgroupStorageSize} bytes of memory per workgroup, and the tier needs ${SIMT_INVOCATIONS} and ${SIMT_STORAGE_BYTES}`
      : null;
  }
  if (!profile.shaderF16) return 'it has no shader-f16';
  if (profile.subgroups === false) return 'it has no subgroups feature';
  return profile.subgroupMatrix === null ? 'it offers no product of f16 subgroup matrices with f32 sums' : null;
}

/** The best tier of a device. Software drivers run on the CPU's caches already: tiles in workgroup memory only cost barriers. */
export function bestTier(profile: Facts): ChosenTier {
  if (profile.software) return { tier: 'direct', reason: 'a software driver: workgroup tiles do not pay there' };
  const noMatrix = obstacle(profile, 'subgroup_matrix');
  if (noMatrix === null) return { tier: 'subgroup_matrix', reason: 'the best that this device has' };
  const noSimt = obstacle(profile, 'simt');
  if (noSimt === null) return { tier: 'simt', reason: `no subgroup_matrix: ${noMatrix}` };
  return { tier: 'direct', reason: `no simt: ${noSimt}` };
}

/**
 * The tier of a run. Tensor cores multiply f16, so a run that computes in f32 takes `simt`.
 * @throws DeviceError when the tier that was asked for cannot be had, with the reason
 */
export function chooseTier(profile: DeviceProfile, wanted: TierChoice, computeDtype: 'f32' | 'f16'): ChosenTier {
  const noMatrix = 'its operands are float16, and compute_dtype is float32';
  if (wanted === 'auto') {
    const best = { ...bestTier(profile), tier: profile.tier };
    return best.tier === 'subgroup_matrix' && computeDtype === 'f32'
      ? { tier: 'simt', reason: `no subgroup_matrix: ${noMatrix}` }
      : best;
  }
  const why = obstacle(profile, wanted) ?? (wanted === 'subgroup_matrix' && computeDtype === 'f32' ? noMatrix : null);
  if (why !== null)
    throw new DeviceError(
      `matmul_tier ${wanted} is not possible on ${profile.name}: ${why}. Set matmul_tier: auto, which takes ${chooseTier(profile, 'auto', computeDtype).tier} here${
        why === noMatrix ? ', or compute_dtype: float16' : ''
      }.`,
    );
  return { tier: wanted, reason: 'as asked for' };
}
