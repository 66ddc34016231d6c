/** Other names that people bring with them, each read as one of our settings and answered with a notice. */
import { z } from 'zod';
import { type SettingKey, settings } from './settings.ts';

/** A setting under another name; `type` and `convert` where the value is written differently as well. */
export type Alias = {
  readonly to: SettingKey;
  readonly type?: z.ZodType;
  readonly convert?: (value: unknown) => unknown;
};

const of = (to: SettingKey, names: string[]): [string, Alias][] => names.map((name) => [name, { to }]);

export const ALIASES: ReadonlyMap<string, Alias> = new Map<string, Alias>([
  ...of('model_name_or_path', ['base_model', 'model', 'model_id', 'base_model_name_or_path']),
  ...of('method', ['adapter', 'fine_tune_type', 'finetuning_type']),
  ...of('dtype', ['torch_dtype']),
  ...of('bnb_4bit_use_double_quant', ['use_bnb_nested_quant', 'double_quant']),
  ...of('bnb_4bit_quant_type', ['quant_type']),
  ...of('lora_r', ['r', 'rank', 'lora_rank']),
  ...of('lora_alpha', ['alpha']),
  ...of('lora_target_modules', ['target_modules']),
  ...of('lora_modules_to_save', ['modules_to_save']),
  ['lora_target', { to: 'lora_target_modules', convert: (value) => (value === 'all' ? 'all-linear' : value) }],
  ...of('eval_datasets', ['test_datasets']),
  ...of('max_length', ['max_seq_length', 'max_seq_len', 'sequence_len', 'cutoff_len']),
  [
    'group_by_length',
    { to: 'train_sampling_strategy', type: z.boolean(), convert: (value) => (value ? 'group_by_length' : 'random') },
  ],
  ...of('per_device_train_batch_size', ['micro_batch_size', 'batch_size', 'train_batch_size']),
  ...of('per_device_eval_batch_size', ['eval_batch_size']),
  ...of('gradient_accumulation_steps', ['grad_accumulation_steps', 'gradient_accumulation']),
  ...of('num_train_epochs', ['num_epochs', 'epochs']),
  ...of('max_steps', ['iters']),
  ...of('learning_rate', ['lr']),
  ...of('lr_scheduler_type', ['lr_scheduler']),
  // As a count of steps, a ratio of 1 would turn from "the whole run" into "one step".
  ['warmup_ratio', { to: 'warmup_steps', type: z.number().min(0).lt(1) }],
  ...of('optim', ['optimizer']),
  ...of('eval_strategy', ['evaluation_strategy']),
]);

/** What may be written under a name of ours: a setting's own type, or its alias's. */
export function typeOf(name: string): z.ZodType | undefined {
  const alias = ALIASES.get(name);
  const key = alias?.to ?? name;
  return alias?.type ?? (isSettingKey(key) ? settings.shape[key] : undefined);
}

export const isSettingKey = (name: string): name is SettingKey => Object.hasOwn(settings.shape, name);
