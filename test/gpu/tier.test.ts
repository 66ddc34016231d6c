import { describe, expect, it } from 'vitest';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { bestTier, chooseTier } from '../../src/gpu/tier.ts';
import { thrown } from '../formats/files.ts';

const { nvidia, lavapipe, swiftshader } = KNOWN_PROFILES as Record<string, DeviceProfile>;
const gpu = (changes: Partial<DeviceProfile>): DeviceProfile => {
  const facts = { ...(nvidia as DeviceProfile), ...changes };
  return { ...facts, tier: bestTier(facts).tier };
};

describe('the tier that auto takes', () => {
  it('is that of the known profiles', () => {
    const profiles = Object.values(KNOWN_PROFILES);
    expect(profiles.length).toBe(6);
    for (const profile of profiles) expect(profile.tier).toBe(bestTier(profile).tier);
  });

  it('tensor cores for float16, workgroup tiles for float32', () => {
    expect(chooseTier(nvidia!, 'auto', 'f16').tier).toBe('subgroup_matrix');
    expect(chooseTier(nvidia!, 'auto', 'f32')).toEqual({
      tier: 'simt',
      reason: 'no subgroup_matrix: its operands are float16, and compute_dtype is float32',
    });
  });

  it('is named with its reason where something is missing', () => {
    expect(bestTier(gpu({ subgroupMatrix: null }))).toEqual({
      tier: 'simt',
      reason: 'no subgroup_matrix: it offers no product of f16 subgroup matrices with f32 sums',
    });
    expect(bestTier(gpu({ shaderF16: false })).reason).toBe('no subgroup_matrix: it has no shader-f16');
    expect(bestTier(gpu({ subgroups: false, subgroupMatrix: null }))).toEqual({
      tier: 'simt',
      reason: 'no subgroup_matrix: it has no subgroups feature',
    });
    const limits = { ...nvidia!.limits, maxComputeInvocationsPerWorkgroup: 128 };
    const small = bestTier(gpu({ subgroupMatrix: null, limits }));
    expect(small.tier).toBe('direct');
    expect(small.reason).toContain('128 invocations');
    expect(bestTier(lavapipe!).tier).toBe('direct');
    expect(bestTier(swiftshader!).reason).toContain('software driver');
  });
});

describe('a tier that is asked for', () => {
  it('is taken where it is possible, on a software driver too', () => {
    for (const tier of ['direct', 'simt'] as const)
      for (const profile of [nvidia!, lavapipe!, swiftshader!])
        expect(chooseTier(profile, tier, 'f32')).toEqual({ tier, reason: 'as asked for' });
    expect(chooseTier(nvidia!, 'subgroup_matrix', 'f16').tier).toBe('subgroup_matrix');
  });

  it('is an error with the reason where it is not', () => {
    const message = (profile: DeviceProfile, dtype: 'f32' | 'f16'): string =>
      thrown(() => chooseTier(profile, 'subgroup_matrix', dtype)).message;
    expect(message(swiftshader!, 'f16')).toBe(
      'matmul_tier subgroup_matrix is not possible on swiftshader: it has no shader-f16. Set matmul_tier: auto, which takes direct here.',
    );
    expect(message(lavapipe!, 'f16')).toContain('it offers no product of f16 subgroup matrices with f32 sums');
    expect(message(nvidia!, 'f32')).toContain('which takes simt here, or compute_dtype: float16.');
  });
});
