/** What a run will leave on the disk, known before its first step. */
import { adapterCounts } from '../adapters/layout.ts';
import type { TrainConfig } from '../config/settings.ts';
import { floatType, type TorchFloat } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { OpenedModel } from '../model/open.ts';
import { countParameters, type ModelPlan, planModel } from './model-plan.ts';
import type { RunInput } from './session.ts';

const ADAPTER_BYTES = 4;
/** Of run.json, and of a row of trainer_state.json: measured, rounded up. */
const STEP_BYTES = 450;
const LOG_ROW_BYTES = 250;
/** config.yaml, environment.json, README.md and the like. */
const OTHER_BYTES = 64 * 1024;

/** The type that full training saves its weights in. */
export function savedDtype({ dtype }: Pick<TrainConfig, 'dtype'>, model: ModelConfig): TorchFloat {
  return dtype === 'auto' ? (model.dtype ?? 'float32') : dtype;
}

/** Bytes by what they are: weights, and the log of all steps. Rows that a program hands over are not among them. */
export function savedBytes({ config, model, source, plan, batches }: RunInput): Readonly<Record<string, number>> {
  const rows = Math.ceil(batches.totalSteps / config.logging_steps) + batches.totalSteps / evaluationsEvery(config);
  return {
    [plan.lora === null ? 'the model' : 'the adapter']: weightBytes({ config, model, source, plan }),
    'the log of its steps': Math.ceil(batches.totalSteps * STEP_BYTES + rows * LOG_ROW_BYTES + OTHER_BYTES),
  };
}

/** The weights alone, from the model's files. @throws ConfigError, DataError */
export async function plannedWeightBytes(config: TrainConfig, opened: OpenedModel): Promise<number> {
  const plan = await planModel({ config, ...opened, maxPositions: 1 });
  return weightBytes({ config, ...opened, plan });
}

type Saved = Pick<RunInput, 'config' | 'model' | 'source'> & { readonly plan: ModelPlan };

function weightBytes({ config, model, source, plan }: Saved): number {
  if (plan.lora === null) return countParameters(plan).trainable * floatType(savedDtype(config, model)).bytes;
  // an adapted embedding may be copied from the base beside its pair
  const copied = plan.lora.layout.targets
    .filter(({ name }) => /(^|\.)(embed_tokens|lm_head)$/.test(name))
    .map(({ name }) => source.info(`${name}.weight`).bytes);
  return copied.reduce((sum, bytes) => sum + bytes, adapterCounts(plan.lora.layout).trainable * ADAPTER_BYTES);
}

function evaluationsEvery({ eval_strategy, eval_steps }: TrainConfig): number {
  return eval_strategy === 'steps' ? eval_steps : Number.POSITIVE_INFINITY;
}
