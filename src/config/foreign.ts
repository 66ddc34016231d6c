/**
 * Settings of other trainers that a recipe may name and that nibble takes without following them, since what they choose is
 * decided here: how many GPUs there are, which kernels run, where logs go. Each says what is done instead.
 */

type Foreign = {
  readonly names: readonly string[];
  /** Values that ask for nothing: no word is said of them. Null never asks for anything. */
  readonly quiet?: readonly unknown[];
  readonly instead: string;
  /** True where it is followed all the same. */
  readonly isFollowed?: boolean;
};

const OFF = [false, '', 'none', 'no', 0];

const FOREIGN: readonly Foreign[] = [
  {
    names: [
      ...[
        'device_map',
        'max_memory',
        'deepspeed',
        'fsdp',
        'fsdp_config',
        'fsdp_version',
        'accelerator_config',
        'local_rank',
      ],
      ...[
        'ddp',
        'ddp_timeout',
        'ddp_backend',
        'ddp_bucket_cap_mb',
        'ddp_broadcast_buffers',
        'ddp_find_unused_parameters',
      ],
      ...['tensor_parallel_size', 'context_parallel_size', 'dp_shard_size', 'dp_replicate_size', 'parallelism_config'],
    ],
    quiet: [...OFF, -1, 1],
    instead: 'nibble trains on one GPU: a step is per_device_train_batch_size x gradient_accumulation_steps rows',
  },
  {
    names: [
      ...[
        'attn_implementation',
        'flash_attention',
        'flash_attn',
        'xformers_attention',
        'sdp_attention',
        'flex_attention',
      ],
      ...['eager_attention', 'use_liger_kernel', 'enable_liger_kernel', 'use_unsloth', 'torch_compile'],
      ...['torch_compile_backend', 'torch_compile_mode', 'lora_mlp_kernel', 'lora_qkv_kernel', 'lora_o_kernel', 'tf32'],
      ...['use_kernels', 'use_cache', 'low_cpu_mem_usage', 'use_safetensors', 'full_determinism'],
    ],
    quiet: [...OFF, 'auto', 'disabled'],
    instead:
      'nibble has kernels of its own, with exact attention, products in compute_dtype and equal bits in every run',
  },
  {
    names: ['gradient_checkpointing_kwargs', 'activation_offloading', 'use_reentrant_gc'],
    quiet: OFF,
    instead: 'gradient_checkpointing decides, and has one way to compute a layer again',
  },
  {
    names: [
      ...[
        'push_to_hub',
        'hub_model_id',
        'hub_strategy',
        'hub_token',
        'hub_private_repo',
        'hub_always_push',
        'hub_revision',
      ],
      ...['push_to_hub_model_id', 'push_to_hub_organization', 'push_dataset_to_hub', 'save_safetensors', 'plot_loss'],
    ],
    quiet: [...OFF, 'every_save'],
    instead: 'nibble uploads nothing: output_dir holds the adapter, ready for `hf upload`',
  },
  {
    names: [
      ...[
        'wandb_project',
        'wandb_entity',
        'wandb_watch',
        'wandb_name',
        'wandb_log_model',
        'wandb_run_id',
        'wandb_mode',
      ],
      ...['use_wandb', 'use_mlflow', 'mlflow_tracking_uri', 'mlflow_experiment_name', 'use_comet', 'use_swanlab'],
      ...['swanlab_project', 'swanlab_run_name', 'run_name', 'project', 'trackio_space_id', 'debug', 'log_level'],
      ...[
        'log_on_each_node',
        'disable_tqdm',
        'include_tokens_per_second',
        'include_num_input_tokens_seen',
        'eval_table_size',
      ],
      ...['eval_max_new_tokens', 'eval_causal_lm_metrics', 'logging_strategy'],
    ],
    quiet: [...OFF, 'steps'],
    instead: 'nibble sends nothing anywhere: log and record of the run are in output_dir',
  },
  {
    names: [
      ...[
        'dataset_num_proc',
        'preprocessing_num_workers',
        'dataloader_num_workers',
        'dataloader_pin_memory',
        'dataset_processes',
      ],
      ...[
        'dataloader_prefetch_factor',
        'dataloader_persistent_workers',
        'overwrite_cache',
        'dataset_prepared_path',
        'streaming',
      ],
      ...['remove_unused_columns', 'pad_to_sequence_len', 'pad_to_multiple_of', 'eval_do_concat_batches'],
    ],
    quiet: [...OFF, 'last_run_prepared'],
    instead: 'nibble reads rows as they are needed, and pads them to the longest of their batch, which changes no loss',
  },
  {
    names: [
      ...[
        'model_type',
        'tokenizer_type',
        'is_llama_derived_model',
        'is_mistral_derived_model',
        'is_qwen_derived_model',
      ],
      ...['is_falcon_derived_model', 'processor_type', 'tokenizer_use_fast', 'use_fast_tokenizer', 'tokenizer_legacy'],
      ...['trust_remote_code', 'trust_remote_code_tokenizer', 'tokenizer_name'],
    ],
    quiet: [...OFF, true],
    instead: "the model's own files decide, and no code of a model is run",
  },
  {
    names: ['chat_template', 'template'],
    quiet: ['tokenizer_default'],
    instead: "chats go through the model's own template; chat_template_path names another",
  },
  {
    names: ['evals_per_epoch'],
    instead: 'read as eval_strategy steps and as eval_steps, a fraction of all steps',
    isFollowed: true,
  },
  {
    names: ['saves_per_epoch'],
    instead: 'read as save_strategy steps and as save_steps, a fraction of all steps',
    isFollowed: true,
  },
  {
    names: ['overwrite_output_dir'],
    quiet: OFF,
    instead: 'nothing is written over: output_dir has to be new or empty all the same',
  },
  {
    names: ['bf16_full_eval', 'fp16_full_eval'],
    quiet: OFF,
    instead: 'evaluation computes as training does',
  },
  {
    names: ['loss_watchdog_threshold', 'loss_watchdog_patience'],
    instead: 'not followed: a run is stopped by a loss that is not finite alone',
  },
  {
    names: ['do_train', 'do_eval', 'do_predict'],
    quiet: [true, false],
    instead: 'has no meaning here',
  },
];

const BY_NAME: ReadonlyMap<string, Foreign> = new Map(
  FOREIGN.flatMap((entry) => entry.names.map((name) => [name, entry] as const)),
);

/** Every such name, for suggestions. */
export const FOREIGN_NAMES: readonly string[] = [...BY_NAME.keys()];

type Instead = { readonly text: string; readonly isFollowed: boolean };

/** Says what is done instead of a setting; null where its value asks for nothing, undefined for a name that is not one. */
export function insteadOf(name: string, value: unknown): Instead | null | undefined {
  const entry = BY_NAME.get(name);
  if (entry === undefined) return undefined;
  const isQuiet = value === null || (entry.quiet ?? []).includes(value);
  return isQuiet ? null : { text: entry.instead, isFollowed: entry.isFollowed ?? false };
}
