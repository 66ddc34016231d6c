/** Names that settings have in other tools; each is read as one of our settings, with a notice. */
import { z } from 'zod';
import { type SettingKey, settings } from './settings.ts';

/** A setting under another name; `type` and `convert` where the value is written differently as well. */
export type Alias = {
  readonly to: SettingKey;
  readonly type?: z.ZodType;
  /** The value under our name; undefined sets nothing. */
  readonly convert?: (value: unknown) => unknown;
};

const text = z.string().min(1);

const aliases = (to: SettingKey, names: string[]): [string, Alias][] => names.map((name) => [name, { to }]);

export const ALIASES: ReadonlyMap<string, Alias> = new Map<string, Alias>([
  ...aliases('model_name_or_path', ['base_model', 'model', 'model_id', 'base_model_name_or_path']),
  ...aliases('model_revision', ['revision', 'revision_of_model']),
  ...aliases('method', ['adapter', 'fine_tune_type']),
  // LLaMA-Factory's lora is on whatever base quantization_bit makes, 4-bit ones included
  [
    'finetuning_type',
    { to: 'method', type: z.enum(['lora', 'full']), convert: (value) => (value === 'full' ? 'full' : undefined) },
  ],
  // TRL's: without it, all weights are trained
  ['use_peft', { to: 'method', type: z.boolean(), convert: (value) => (value ? undefined : 'full') }],
  ['quantization_bit', { to: 'load_in_4bit', type: z.literal(4), convert: () => true }],
  ...aliases('dtype', ['torch_dtype']),
  ...aliases('bnb_4bit_use_double_quant', ['use_bnb_nested_quant', 'double_quant', 'double_quantization']),
  ...aliases('bnb_4bit_quant_type', ['quant_type', 'quantization_type']),
  ...aliases('lora_r', ['r', 'rank', 'lora_rank']),
  ...aliases('lora_alpha', ['alpha']),
  ...aliases('lora_target_modules', ['target_modules']),
  ...aliases('lora_modules_to_save', ['modules_to_save']),
  ['lora_target', { to: 'lora_target_modules', convert: fromLoraTarget }],
  [
    'lora_target_linear',
    { to: 'lora_target_modules', type: z.boolean(), convert: (value) => (value ? 'all-linear' : undefined) },
  ],
  ...aliases('adapter_name_or_path', ['lora_model_dir']),
  ...aliases('packing', ['sample_packing']),
  ...aliases('eval_packing', ['eval_sample_packing']),
  ...aliases('eval_datasets', ['test_datasets']),
  ['dataset', { to: 'datasets', type: text, convert: fromNames }],
  ['dataset_name', { to: 'datasets', type: text, convert: (value) => [{ path: value }] }],
  ['eos_token', { to: 'special_tokens', type: text, convert: (value) => ({ eos_token: value }) }],
  ['eval_dataset', { to: 'eval_datasets', type: text, convert: fromNames }],
  ...['train_on_inputs', 'train_on_prompt'].map((name): [string, Alias] => [
    name,
    // not to learn from prompts is what rows with a completion do anyway, and what text rows cannot
    { to: 'completion_only_loss', type: z.boolean(), convert: (value) => (value ? false : undefined) },
  ]),
  ...aliases('val_set_size', ['val_size']),
  ...aliases('max_length', ['max_seq_length', 'max_seq_len', 'sequence_len', 'cutoff_len']),
  [
    'group_by_length',
    { to: 'train_sampling_strategy', type: z.boolean(), convert: (value) => (value ? 'group_by_length' : 'random') },
  ],
  ...aliases('per_device_train_batch_size', ['micro_batch_size', 'batch_size', 'train_batch_size']),
  ...aliases('per_device_eval_batch_size', ['eval_batch_size']),
  ...aliases('gradient_accumulation_steps', ['grad_accumulation_steps', 'gradient_accumulation']),
  ...aliases('num_train_epochs', ['num_epochs', 'epochs']),
  ...aliases('max_steps', ['iters']),
  ...aliases('learning_rate', ['lr']),
  ...aliases('lr_scheduler_type', ['lr_scheduler']),
  // a ratio of 1 is the whole run, and as a count of steps would be one step
  ['warmup_ratio', { to: 'warmup_steps', type: z.number().min(0).lt(1) }],
  ...aliases('optim', ['optimizer']),
  ...aliases('neftune_noise_alpha', ['neftune_alpha']),
  ...aliases('eval_strategy', ['evaluation_strategy']),
]);

/** Settings that are None in Python where nobody sets them: null leaves them to their default here, too. */
export const NONE_IS_DEFAULT: ReadonlySet<SettingKey> = new Set<SettingKey>([
  ...(['output_dir', 'gradient_checkpointing', 'bnb_4bit_compute_dtype', 'bnb_4bit_quant_storage'] as const),
]);

/** LLaMA-Factory names datasets with commas between them. */
function fromNames(value: unknown): unknown {
  return String(value)
    .split(',')
    .map((name) => ({ path: name.trim() }))
    .filter(({ path }) => path !== '');
}

/** LLaMA-Factory writes several modules with commas between them. */
function fromLoraTarget(value: unknown): unknown {
  if (value === 'all') return 'all-linear';
  return typeof value === 'string' && value.includes(',') ? value.split(',').map((name) => name.trim()) : value;
}

/** Finds the type of what may be written under a setting's name or under an alias; undefined for other names. */
export function typeOf(name: string): z.ZodType | undefined {
  const alias = ALIASES.get(name);
  const key = alias?.to ?? name;
  return alias?.type ?? (isSettingKey(key) ? settings.shape[key] : undefined);
}

export const isSettingKey = (name: string): name is SettingKey => Object.hasOwn(settings.shape, name);
