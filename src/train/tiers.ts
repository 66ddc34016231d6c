/** Kernel tiers of a run on a device, and why: printed before it starts, and recorded with it. */
import type { TrainConfig } from '../config/settings.ts';
import { floatType } from '../formats/dtype.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import { type ChosenTier, chooseTier } from '../gpu/tier.ts';
import { type AttentionPlan, planAttention } from '../kernels/attention.ts';

type Settings = Pick<TrainConfig, 'matmul_tier' | 'compute_dtype' | 'method' | 'lora_dropout' | 'use_dora'>;

/**
 * How the LoRA terms are computed. `folded`: within their layer's product, as a second source of its sums; A or B and
 * their factors are then rounded to the compute dtype. `separate`: as products of their own, in float32.
 */
type LoraProducts = {
  readonly forward: 'folded' | 'separate';
  /**
   * With dropout, one direction stays separate: backward in LoRA, where the mask covers its term alone; forward in
   * DoRA, which needs the layer's product without it.
   */
  readonly backward: 'folded' | 'separate';
  /** Precision that the operands of folded LoRA terms are rounded to. */
  readonly operands: 'float32' | 'float16';
};

export type RunTiers = {
  readonly matmul: ChosenTier;
  readonly attention: ChosenTier;
  /** Null where no LoRA is trained. */
  readonly lora: LoraProducts | null;
};

const gpuDtype = (config: Settings): 'f32' | 'f16' => floatType(config.compute_dtype).gpu;

/** Tier of a run's matrix products. @throws DeviceError when the device lacks the tier that was asked for */
export function matmulTier(profile: DeviceProfile, config: Settings): ChosenTier {
  return chooseTier(profile, config.matmul_tier, gpuDtype(config));
}

/** The tier of forward, and that of backward where it is another. */
function named({ forward, backward }: AttentionPlan): ChosenTier {
  const { tier, reason } = forward;
  return { tier, reason: tier === backward.tier ? reason : `${reason}; backward ${backward.tier}, ${backward.reason}` };
}

/**
 * Tiers of matrix products, attention and LoRA.
 * @throws DeviceError when the device lacks the tier that was asked for
 */
export function runTiers(profile: DeviceProfile, config: Settings, headDim: number): RunTiers {
  const matmul = matmulTier(profile, config);
  const attention = planAttention({ ...profile, tier: matmul.tier }, gpuDtype(config), headDim);
  const folds = matmul.tier !== 'direct';
  const drops = config.lora_dropout > 0;
  const lora: LoraProducts = {
    forward: folds && !(drops && config.use_dora) ? 'folded' : 'separate',
    backward: folds && !(drops && !config.use_dora) ? 'folded' : 'separate',
    operands: folds && config.compute_dtype === 'float16' ? 'float16' : 'float32',
  };
  return {
    matmul,
    attention: named(attention),
    lora: config.method === 'full' ? null : lora,
  };
}
