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
      ...['ddp_static_graph', 'ignore_bias_buffers', 'sharded_ddp', 'fsdp_min_num_params', 'mp_parameters'],
      ...['fsdp_transformer_layer_cls_to_wrap', 'tpu_num_cores', 'use_mps_device', 'ray_scope'],
    ],
    quiet: [...OFF, -1, 1, 1800, 'last'],
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
      ...['liger_kernel_config', 'use_liger', 'use_ipex', 'jit_mode_eval', 'torchdynamo'],
      ...['half_precision_backend', 'fp16_backend', 'fp16_opt_level'],
    ],
    quiet: [...OFF, 'auto', 'disabled', 'O1'],
    instead:
      'nibble has kernels of its own, with exact attention, products in compute_dtype and equal bits in every run',
  },
  {
    names: [
      ...[
        'gradient_checkpointing_kwargs',
        'activation_checkpointing_kwargs',
        'activation_offloading',
        'use_reentrant_gc',
      ],
    ],
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
      ...['push_to_hub_model_id', 'push_to_hub_organization', 'push_to_hub_token', 'push_dataset_to_hub', 'plot_loss'],
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
      ...['disable_tqdm', 'include_tokens_per_second', 'include_num_input_tokens_seen', 'eval_table_size'],
      ...['eval_max_new_tokens', 'eval_causal_lm_metrics', 'log_level_replica'],
      ...['trackio_bucket_id', 'trackio_static_space_id'],
    ],
    quiet: [...OFF, 'passive', 'warning', 'huggingface'],
    instead: 'nibble sends nothing anywhere: log and record of the run are in output_dir',
  },
  {
    names: [
      ...['dataset_num_proc', 'preprocessing_num_workers', 'dataloader_num_workers', 'dataset_processes'],
      ...[
        'dataloader_prefetch_factor',
        'dataloader_persistent_workers',
        'overwrite_cache',
        'dataset_prepared_path',
        'streaming',
      ],
      ...['pad_to_sequence_len', 'pad_to_multiple_of', 'dataloader_multiprocessing_context'],
      ...['dataset_streaming', 'dataset_batch_size', 'num_of_sequences', 'chars_per_token'],
    ],
    quiet: [...OFF, 'last_run_prepared', 'auto'],
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
    // both of their values come to the same: on one GPU, with rows that are read by their names, and losses alone
    names: [
      ...[
        'average_tokens_across_devices',
        'log_on_each_node',
        'save_on_each_node',
        'split_batches',
        'dispatch_batches',
      ],
      ...['dataloader_pin_memory', 'dataloader_in_order', 'remove_unused_columns', 'eval_do_concat_batches'],
      ...['prediction_loss_only', 'eval_use_gather_object', 'batch_eval_metrics', 'include_inputs_for_metrics'],
      'skip_memory_metrics',
    ],
    quiet: [true, false],
    instead: 'has no meaning here',
  },
  {
    names: ['logging_strategy'],
    quiet: ['steps'],
    instead: 'the log has a row every logging_steps, and the terminal every step',
  },
  {
    names: ['logging_nan_inf_filter'],
    quiet: [false],
    instead: 'a loss that is not finite is logged as null, not as a mean of earlier ones, and on_nan says what follows',
  },
  {
    names: ['save_safetensors'],
    quiet: [true],
    instead: 'weights are written as safetensors alone',
  },
  {
    names: ['eval_accumulation_steps'],
    instead: 'an evaluation keeps no predictions: it sums the losses of its batches',
  },
  {
    names: ['torch_empty_cache_steps'],
    instead: 'memory is planned before the first step, and there is no cache to empty',
  },
  {
    names: ['length_column_name'],
    quiet: ['length'],
    instead: 'lengths are counted from the tokens of the rows',
  },
  {
    names: ['pad_token'],
    instead:
      'padding is masked by its place and not by its id: whatever pads, an EOS that ends a row is learned (append_eos: false leaves it out)',
  },
  {
    names: ['peft_version'],
    instead: 'decides nothing: the other settings say all there is',
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
