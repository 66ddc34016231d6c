/** Settings of Hugging Face, PEFT and TRL that nibble knows by name and does not have yet: refused, never ignored. */
import type { SettingKey } from './settings.ts';

/** Values that ask for nothing nibble lacks; any other is refused. */
const OFF = [false, null];
const UNSET = [null];

/** Accepted values by setting: those that ask for what nibble does anyway. */
export const UNSUPPORTED: ReadonlyMap<string, readonly unknown[]> = new Map<string, readonly unknown[]>([
  ...each(OFF, [
    'load_in_8bit',
    'activation_checkpointing',
    'auto_find_batch_size',
    'ignore_data_skip',
    'restore_callback_states_from_checkpoint',
    'dataloader_drop_last',
    'use_cpu',
    'save_only_model',
    'shuffle_dataset',
    'use_qalora',
    'use_bdlora',
    'lora_bias',
    'logging_nan_inf_filter',
    'llm_int8_enable_fp32_cpu_offload',
    'llm_int8_has_fp16_weight',
  ]),
  ...each(UNSET, [
    'peft_config_path',
    'optim_args',
    'optim_target_modules',
    'neftune_noise_alpha',
    'target_parameters',
    'layer_replication',
    'trainable_token_indices',
  ]),
  ['loftq_config', [{}, null]],
  ['stage', ['sft']],
  ['task_type', ['CAUSAL_LM', null]],
  ['lora_task_type', ['CAUSAL_LM', null]],
  ['quantization_method', ['bnb', 'bitsandbytes', null]],
  ['lora_fan_in_fan_out', [false, null]],
  ['s2_attention', [false, null]],
  ['rope_scaling', [null]],
  ['neat_packing', [false, null]],
  ['mask_history', [false, null]],
  ['lora_on_cpu', [false, null]],
  ['label_smoothing_factor', [0]],
  ['llm_int8_threshold', [6]],
  // a signal always saves a checkpoint
  ['enable_jit_checkpoint', [true, false, null]],
  ['eval_delay', [0]],
]);

/** Values that Hugging Face takes and nibble does not yet: the message then says so, instead of calling them unknown. */
export const UNSUPPORTED_VALUES: Readonly<Partial<Record<SettingKey, readonly unknown[]>>> = {
  bnb_4bit_quant_storage: ['bfloat16', 'float16', 'float32'],
  init_lora_weights: ['pissa', 'olora', 'eva', 'loftq', 'orthogonal', 'corda', 'lora_ga', 'mica'],
  optim: ['adafactor', 'sgd', 'paged_lion_32bit', 'lion_32bit', 'adagrad', 'rmsprop', 'adamw_anyprecision', 'muon'],
  lr_scheduler_type: ['reduce_lr_on_plateau', 'greedy'],
  train_sampling_strategy: ['batch_rebalance'],
};

/** Why such a value is not supported, where its name does not say it. */
export const WHY_UNSUPPORTED: Readonly<Partial<Record<SettingKey, string>>> = {
  lr_scheduler_type: 'it follows a metric, and the rate of every step is fixed before a run starts',
};

function each(accepted: readonly unknown[], keys: string[]): [string, readonly unknown[]][] {
  return keys.map((key) => [key, accepted]);
}
