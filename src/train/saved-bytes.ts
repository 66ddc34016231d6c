/** What a run will leave on the disk, known before its first step. */
import { adapterCounts } from '../adapters/layout.ts';
import type { TrainConfig } from '../config/settings.ts';
import { floatType, type TorchFloat } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { OpenedModel } from '../model/open.ts';
import { countParameters, type ModelLayout, modelLayout } from './model-layout.ts';
import type { RunInput } from './session.ts';

const ADAPTER_BYTES = 4;
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

/** Bytes by what they are: weights, and the log of all steps. Rows that a program hands over are not among them. */
export function savedBytes({ config, model, source, layout, batches }: RunInput): Readonly<Record<string, number>> {
  const steps = Math.min(batches.totalSteps, MOST_STEPS);
  const rows = Math.ceil(steps / config.logging_steps) + steps / evaluationsEvery(config);
  return {
    [layout.lora === null ? 'the model' : 'the adapter']: weightBytes({ config, model, source, layout }),
    'the log of its steps': Math.ceil(steps * STEP_BYTES + rows * LOG_ROW_BYTES + OTHER_BYTES),
  };
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
  return copied.reduce((sum, bytes) => sum + bytes, adapterCounts(layout.lora.layout).trainable * ADAPTER_BYTES);
}

function evaluationsEvery({ eval_strategy, eval_steps }: TrainConfig): number {
  return eval_strategy === 'steps' ? eval_steps : Number.POSITIVE_INFINITY;
}
