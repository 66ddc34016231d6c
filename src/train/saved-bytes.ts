/** What a run will leave on the disk, known before its first step. */
import { adapterCounts } from '../adapters/layout.ts';
import { converted } from '../adapters/pissa.ts';
import type { TrainConfig } from '../config/settings.ts';
import { floatType, type TorchFloat } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { OpenedModel } from '../model/open.ts';
import { counted } from '../report/format.ts';
import type { RunBatches } from './batching.ts';
import { countParameters, type ModelLayout, modelLayout } from './model-layout.ts';
import { startsByPissa } from './pissa.ts';
import type { RunInput } from './session.ts';

const F32_BYTES = 4;
const MOMENTS = 2;
/** A step in run.json, and a row of trainer_state.json: measured, rounded up. */
const STEP_BYTES = 450;
const LOG_ROW_BYTES = 250;
/** A run of more steps is one that somebody will stop: room for the log of so many is asked for. */
const MOST_STEPS = 2 ** 20;
/** config.yaml, environment.json, README.md and the like. */
const OTHER_BYTES = 64 * 1024;

/** The type that full training saves its weights in. */
export function savedDtype({ dtype }: Pick<TrainConfig, 'dtype'>, model: ModelConfig): TorchFloat {
  return dtype === 'auto' ? (model.dtype ?? 'float32') : dtype;
}

/**
 * Bytes by what they are: weights, checkpoints, and the log of all steps. Rows that a program hands over are not among them.
 * @param tokenizerBytes of the files that are copied beside weights
 */
export function savedBytes(
  { config, model, source, layout, batches }: RunInput,
  tokenizerBytes: number,
): Readonly<Record<string, number>> {
  const steps = Math.min(batches.totalSteps, MOST_STEPS);
  const rows = Math.ceil(steps / config.logging_steps) + steps / evaluationsEvery(config, batches);
  const weights = weightBytes({ config, model, source, layout }) + tokenizerBytes;
  const log = Math.ceil(steps * STEP_BYTES + rows * LOG_ROW_BYTES);
  const count = checkpointCount(config, batches, steps);
  // two moments, and in full training perhaps the weights in 32 bits
  const values = layout.lora === null && savedDtype(config, model) !== 'float32' ? MOMENTS + 1 : MOMENTS;
  const checkpoint = weights + values * F32_BYTES * countParameters(layout).trainable + log;
  return {
    [layout.lora === null ? 'the model' : 'the adapter']: weights,
    [`${counted(count, 'checkpoint')} (save_total_limit keeps fewer)`]: count * checkpoint,
    'the log of its steps': log + OTHER_BYTES,
  };
}

/** Checkpoints that are there at once: one more than are kept, since the next is written before the oldest goes. */
function checkpointCount(config: TrainConfig, batches: RunBatches, steps: number): number {
  const { save_strategy, save_total_limit } = config;
  const { saveSteps, train } = batches;
  const every = { no: Number.POSITIVE_INFINITY, steps: saveSteps, epoch: train.stepsPerEpoch, best: steps }[
    save_strategy
  ];
  const all = save_strategy === 'no' ? 0 : Math.ceil(steps / every);
  return save_total_limit === null ? all : Math.min(all, save_total_limit + 1);
}

/** The weights alone, from the model's files. @throws ConfigError, DataError */
export async function plannedWeightBytes(config: TrainConfig, opened: OpenedModel): Promise<number> {
  const layout = await modelLayout({ config, ...opened, maxPositions: 1 });
  return weightBytes({ config, ...opened, layout });
}

type Saved = Pick<RunInput, 'config' | 'model' | 'source'> & { readonly layout: ModelLayout };

function weightBytes({ config, model, source, layout }: Saved): number {
  if (layout.lora === null) return countParameters(layout).trainable * floatType(savedDtype(config, model)).bytes;
  // an adapted embedding may be copied from the base beside its pair
  const copied = layout.lora.layout.targets
    .filter(({ name }) => /(^|\.)(embed_tokens|lm_head)$/.test(name))
    .map(({ name }) => source.info(`${name}.weight`).bytes);
  const { config: lora, layout: trained } = layout.lora;
  const saved = startsByPissa(config) ? converted(lora, trained).layout : trained;
  return copied.reduce((sum, bytes) => sum + bytes, adapterCounts(saved).trainable * F32_BYTES);
}

function evaluationsEvery({ eval_strategy }: TrainConfig, { evalSteps }: RunBatches): number {
  return eval_strategy === 'steps' ? evalSteps : Number.POSITIVE_INFINITY;
}
