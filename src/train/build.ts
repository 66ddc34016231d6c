/** Allocates and records everything a run needs: the one path that training and estimating share. */
import { bytesOfSize } from '../config/bytes.ts';
import { optimizerOf } from '../config/optimizers.ts';
import type { TrainConfig } from '../config/settings.ts';
import { KernelCallError } from '../errors.ts';
import { floatType } from '../formats/dtype.ts';
import { Machine, type MachineTarget } from '../gpu/machine.ts';
import type { LossScaling } from '../kernels/loss-scale.ts';
import { requireComputeDtype } from '../model/compute-dtype.ts';
import { declareModel } from '../model/declare.ts';
import type { Checkpointing } from '../model/ops/context.ts';
import { Engine } from './engine.ts';
import { HeldState } from './held-state.ts';
import type { ModelLayout } from './model-layout.ts';
import { documentsOf } from './packing.ts';
import type { EngineSettings } from './phases.ts';
import type { Shapes } from './shapes.ts';
import { matmulTier } from './tiers.ts';
import { loraPlus, updateGroups, updateRule } from './update-rule.ts';

function checkpointingOf({ gradient_checkpointing: asked }: TrainConfig): Checkpointing {
  if (asked === 'auto') throw new KernelCallError('gradient_checkpointing', 'is auto, and nothing chose a plan');
  return asked === 'selective' ? asked : asked ? 'full' : 'off';
}

/** Loss scaling as configured; null with float32 gradients, which need none. */
function lossScalingOf(config: TrainConfig): LossScaling | null {
  if (config.compute_dtype !== 'float16') return null;
  const { loss_scale, growth_interval: growthInterval } = config;
  if (loss_scale !== 'dynamic') return { initScale: loss_scale, growthFactor: 1, backoffFactor: 1, growthInterval };
  const { init_scale: initScale, growth_factor: growthFactor, backoff_factor: backoffFactor } = config;
  return { initScale, growthFactor, backoffFactor, growthInterval };
}

/** Bytes that the optimizer's state may take of the GPU; null has no limit. */
function stateBudget({ optim, paged_optimizer_memory: size }: TrainConfig): number | null {
  return size === null || !optimizerOf(optim).paged ? null : bytesOfSize(size);
}

/**
 * Declares the model, records the phases for every batch shape and allocates all of it; on a target without a device
 * only the bytes are counted.
 * @throws DeviceError for what the device cannot do; ConfigError for what this version cannot train
 */
export function buildEngine(target: MachineTarget, layout: ModelLayout, config: TrainConfig, shapes: Shapes): Engine {
  const profile = { ...target.profile, tier: matmulTier(target.profile, config).tier };
  const computeDtype = floatType(config.compute_dtype).gpu;
  requireComputeDtype(profile, computeDtype);
  const machine = new Machine({ ...target, profile });
  machine.ledger.enterPhase('load');
  const optimizer = updateRule(config);
  const { maxStorageBufferBindingSize: binding } = profile.limits;
  const declared = declareModel(machine.residents, layout.spec, binding, updateGroups(optimizer, loraPlus(config)));
  const state = new HeldState(machine, declared.trainable, optimizer, stateBudget(config));
  const settings: EngineSettings = {
    computeDtype,
    optimizer,
    maxGradNorm: config.max_grad_norm,
    lossScaling: lossScalingOf(config),
    checkpointing: checkpointingOf(config),
    keptInputs: floatType(config.gradient_checkpointing_dtype).gpu,
    neftuneAlpha: config.neftune_noise_alpha,
    documents: documentsOf(config),
    gradientAccumulationSteps: config.gradient_accumulation_steps,
    trainShapes: shapes.train,
    evalShapes: shapes.evaluation,
    sampleTokens: shapes.sample ?? null,
  };
  machine.ledger.enterPhase('train');
  return new Engine(machine, declared, state, settings);
}
