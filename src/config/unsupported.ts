/** Settings of Hugging Face, PEFT and TRL that nibble knows by name and does not have yet: refused, never ignored. */
import type { SettingKey } from './settings.ts';

/** Values that ask for nothing nibble lacks; any other is refused. */
const OFF = [false, null];
const UNSET = [null];

/** Objects of a Python program, whose keywords are settings here. */
const NESTED = [
  ...['model_init_kwargs', 'model_kwargs', 'quantization_config', 'bnb_config', 'peft_config', 'lora_config'],
] as const;

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
    'llm_int8_enable_fp32_cpu_offload',
    'llm_int8_has_fp16_weight',
    'fan_in_fan_out',
    'inference_mode',
    'no_cuda',
    'adafactor',
  ]),
  ...each(UNSET, [
    'peft_config_path',
    'optim_args',
    'optim_target_modules',
    'target_parameters',
    'layer_replication',
    ...['lora_target_parameters', 'auto_mapping', 'megatron_config', 'eva_config', 'corda_config', 'lora_ga_config'],
    ...['velora_config', 'alora_invocation_tokens', 'monteclora_config', 'arrow_config', 'kasa_config'],
  ]),
  ...each([null, {}], [...NESTED]),
  ['runtime_config', [null, {}, { ephemeral_gpu_offload: false }]],
  ['megatron_core', ['megatron.core', null]],
  ['qalora_group_size', [16, null]],
  ['peft_type', ['LORA', null]],
  ['label_names', [null, ['labels']]],
  ['include_for_metrics', [null, []]],
  ['past_index', [-1, null]],
  ['loss_type', ['nll', null]],
  ['truncation_mode', ['keep_start', null]],
  ['dataset_kwargs', [null, {}, { skip_prepare_dataset: false }]],
  ['router_aux_loss_coef', [null, 0]],
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

/** What to write instead of a setting in the list above, where removing it is not the answer. */
export const INSTEAD_OF_UNSUPPORTED: ReadonlyMap<string, string> = new Map([
  ...NESTED.map((name): [string, string] => [
    name,
    'write its keywords beside the other settings, under the same names',
  ]),
  ['label_names', 'labels are read from the column "labels"; rename yours'],
  ['dataset_kwargs', 'rows that need no preparation are those with a column "input_ids", which are taken as they are'],
]);

/** Values that Hugging Face takes and nibble does not yet: the message then says so, instead of calling them unknown. */
export const UNSUPPORTED_VALUES: Readonly<Partial<Record<SettingKey, readonly unknown[]>>> = {
  bnb_4bit_quant_storage: ['bfloat16', 'float16', 'float32'],
  init_lora_weights: ['pissa', 'olora', 'eva', 'loftq', 'orthogonal', 'corda', 'lora_ga', 'mica'],
  optim: [
    ...['adafactor', 'adagrad', 'adamw_anyprecision', 'muon', 'lomo', 'adalomo', 'grokadamw', 'stable_adamw'],
    ...['lion_8bit', 'paged_lion_8bit', 'ademamix', 'ademamix_8bit'],
    ...[
      'paged_ademamix_32bit',
      'paged_ademamix_8bit',
      'rmsprop',
      'rmsprop_bnb',
      'rmsprop_bnb_8bit',
      'rmsprop_bnb_32bit',
    ],
    ...['adamw_torch_xla', 'adamw_torch_npu_fused', 'adamw_apex_fused', 'adamw_torch_4bit', 'adamw_torch_8bit'],
    ...[
      'galore_adamw',
      'galore_adamw_8bit',
      'galore_adafactor',
      'galore_adamw_layerwise',
      'galore_adamw_8bit_layerwise',
    ],
    ...['galore_adafactor_layerwise', 'apollo_adamw', 'apollo_adamw_layerwise'],
    ...['schedule_free_radam', 'schedule_free_adamw', 'schedule_free_sgd'],
  ],
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
