/** Allocates everything a run needs, from a model plan: the one path that training and estimating share. */
import type { TrainConfig } from '../config/settings.ts';
import { DeviceError } from '../errors.ts';
import { floatType } from '../formats/dtype.ts';
import type { Allocator } from '../gpu/allocator.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { Residents } from '../gpu/residents.ts';
import type { LossScaling } from '../kernels/loss-scale.ts';
import { declareModel } from '../model/declare.ts';
import type { Checkpointing } from '../model/ops/context.ts';
import { type BatchShape, EngineMemory, type EngineSettings } from './engine-memory.ts';
import type { ModelPlan } from './model-plan.ts';
import { documentsOf } from './packing.ts';
import { matmulTier } from './tiers.ts';

function checkpointingOf({ gradient_checkpointing: asked }: TrainConfig): Checkpointing {
  return asked === 'selective' ? asked : asked ? 'full' : 'off';
}

/** Gradients in f32 need none. */
function lossScalingOf(config: TrainConfig): LossScaling | null {
  if (config.compute_dtype !== 'float16') return null;
  const { loss_scale, growth_interval: growthInterval } = config;
  if (loss_scale !== 'dynamic') return { initScale: loss_scale, growthFactor: 1, backoffFactor: 1, growthInterval };
  const { init_scale: initScale, growth_factor: growthFactor, backoff_factor: backoffFactor } = config;
  return { initScale, growthFactor, backoffFactor, growthInterval };
}

export type BuildTarget = {
  readonly allocator: Allocator;
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
};
export type Shapes = { readonly train: readonly BatchShape[]; readonly evaluation: readonly BatchShape[] };

/** @throws DeviceError for what the device cannot do; ConfigError for what this version cannot train */
export function buildMemory(target: BuildTarget, plan: ModelPlan, config: TrainConfig, shapes: Shapes): EngineMemory {
  const { allocator } = target;
  const profile = { ...target.profile, tier: matmulTier(target.profile, config).tier };
  if (config.compute_dtype === 'float16' && !profile.shaderF16) {
    throw new DeviceError(
      `compute_dtype float16 needs the shader-f16 feature, which ${profile.name} lacks: set compute_dtype: float32`,
    );
  }
  const residents = new Residents(allocator);
  allocator.ledger.enterPhase('load');
  const declared = declareModel(residents, plan.spec, profile.limits.maxStorageBufferBindingSize);
  const settings: EngineSettings = {
    computeDtype: floatType(config.compute_dtype).gpu,
    optimizer: {
      beta1: config.adam_beta1,
      beta2: config.adam_beta2,
      eps: config.adam_epsilon,
      weightDecay: config.weight_decay,
    },
    maxGradNorm: config.max_grad_norm,
    lossScaling: lossScalingOf(config),
    checkpointing: checkpointingOf(config),
    documents: documentsOf(config),
    gradientAccumulationSteps: config.gradient_accumulation_steps,
    trainShapes: shapes.train,
    evalShapes: shapes.evaluation,
  };
  allocator.ledger.enterPhase('train');
  return new EngineMemory({ ...target, profile, residents, declared }, settings);
}
