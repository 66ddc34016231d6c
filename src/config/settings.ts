/** Every setting of a training run, once: type, default and help. Flags, help texts and the JSON Schema come from here. */
import { z } from 'zod';
import type { OptimizerName } from './optimizers.ts';
import { adapter } from './sections/adapter.ts';
import { checkpoints } from './sections/checkpoints.ts';
import { data } from './sections/data.ts';
import { lossScaling } from './sections/loss-scaling.ts';
import { model } from './sections/model.ts';
import { quantization } from './sections/quantization.ts';
import { training } from './sections/training.ts';
import { watching } from './sections/watching.ts';

/** The settings in the order people read them; each heading is a group of flags and a comment in a printed config. */
export const SECTIONS = {
  Model: model,
  'Quantization (qlora)': quantization,
  'Adapter (lora, qlora)': adapter,
  Data: data,
  Training: training,
  'Loss scaling (compute_dtype: float16)': lossScaling,
  'Logging and evaluation': watching,
  Checkpoints: checkpoints,
} as const;

/** A complete training configuration; what no source sets takes its default. */
export const settings = z.strictObject({
  ...model,
  ...quantization,
  ...adapter,
  ...data,
  ...training,
  ...lossScaling,
  ...watching,
  ...checkpoints,
});

/** Settings as a program writes them: numbers, lists and names. What is left out takes its default. */
export type TrainSettings = Partial<z.input<typeof settings>>;

type Parsed = z.output<typeof settings>;
export type SettingKey = keyof Parsed;
export type Method = Parsed['method'];
export type ComputeDtype = 'float32' | 'float16';
export type DatasetSource = Parsed['datasets'][number];

/** What a run reads: compute_dtype and optim reduced to what the engine knows, eval_steps filled in. */
export type TrainConfig = Omit<Parsed, 'compute_dtype' | 'bnb_4bit_compute_dtype' | 'optim' | 'eval_steps'> & {
  compute_dtype: ComputeDtype;
  bnb_4bit_compute_dtype: ComputeDtype;
  /** What compute_dtype was asked to be, before bf16_as: PEFT rounds a fresh adapter on a 4-bit base to it. Not a setting of its own. */
  requested_compute_dtype: Parsed['compute_dtype'];
  /** Name on the hub of a base whose files come from there: what an adapter calls its base. Not a setting of its own. */
  base_on_hub?: string;
  /** True where compute_dtype stands for bfloat16 or mixed precision, and turns to float32 on a device without float16. */
  float16_if_possible: boolean;
  optim: OptimizerName;
  eval_steps: number;
};

export const settingKeys = Object.keys(settings.shape) as SettingKey[];

/** Reads the default of a setting; undefined where there is none. */
export function defaultOf(key: SettingKey): unknown {
  const parsed = settings.shape[key].safeParse(undefined);
  return parsed.success ? parsed.data : undefined;
}

/** Defaults that differ from Hugging Face's: theirs, and why ours. Printed and recorded with a run. */
export const DEPARTURES: Readonly<Partial<Record<SettingKey, { huggingFace: unknown; reason: string }>>> = {
  dataset_test_split: { huggingFace: 'test', reason: 'losses that settings are chosen by are not of the test rows' },
  bnb_4bit_quant_type: { huggingFace: 'fp4', reason: 'nf4 is the code of the QLoRA recipe' },
  logging_steps: { huggingFace: 500, reason: 'the loss is read back late and costs nothing' },
};
