/** Runs that together have everything a checkpoint has to carry over. */
import type { TrainSettings } from '../../src/config/index.ts';

/** Rows of different lengths, so that packing, padding and grouping have something to do. */
export const ROWS = Array.from({ length: 11 }, (_, i) => ({
  text: `Row ${i}: ${'call me Ishmael, '.repeat(1 + ((i * 5) % 4))}some ${i} years ago.`,
}));
export const EVAL_ROWS = ROWS.slice(3, 8);

const common = {
  per_device_train_batch_size: 2,
  learning_rate: 2e-2,
  lora_r: 4,
  max_length: 24,
  save_steps: 2,
} satisfies TrainSettings;

type Settings = Omit<TrainSettings, 'model_name_or_path' | 'datasets' | 'eval_datasets' | 'output_dir'>;
export type ResumableRun = { readonly settings: Settings; readonly needsFloat16?: true };

export const RESUMABLE: Readonly<Record<string, ResumableRun>> = {
  'epochs, accumulation, dropout, DoRA, evaluation by epoch': {
    settings: {
      ...common,
      num_train_epochs: 3,
      gradient_accumulation_steps: 2,
      lora_dropout: 0.2,
      use_dora: true,
      eval_strategy: 'epoch',
      eval_on_start: true,
    },
  },
  'PiSSA, rows of tokens, the best of its checkpoints': {
    settings: {
      ...common,
      init_lora_weights: 'pissa_niter_2',
      trainable_token_indices: [40, 5, 300],
      max_steps: 6,
      eval_strategy: 'steps',
      eval_steps: 2,
      load_best_model_at_end: true,
    },
  },
  'packing, QLoRA, the best of few checkpoints, early stopping': {
    settings: {
      ...common,
      method: 'qlora',
      bnb_4bit_use_double_quant: true,
      packing: true,
      max_steps: 14,
      eval_strategy: 'steps',
      eval_steps: 2,
      save_total_limit: 2,
      load_best_model_at_end: true,
      // only the first evaluation is so much better than none
      early_stopping_patience: 3,
      early_stopping_threshold: 100,
      logging_steps: 3,
    },
  },
  'float16 with a loss scale that falls and grows, skipped steps': {
    needsFloat16: true,
    settings: {
      ...common,
      compute_dtype: 'float16',
      init_scale: 2 ** 26,
      growth_interval: 2,
      warmup_steps: 0.3,
      lr_scheduler_type: 'cosine',
      max_steps: 9,
      lora_dropout: 0.1,
    },
  },
  'every weight, saved in 16 bits, lengths grouped, saved when best': {
    settings: {
      method: 'full',
      dtype: 'bfloat16',
      per_device_train_batch_size: 2,
      learning_rate: 1e-3,
      max_length: 24,
      weight_decay: 0.1,
      train_sampling_strategy: 'group_by_length',
      max_steps: 9,
      eval_strategy: 'steps',
      eval_steps: 2,
      save_strategy: 'best',
      load_best_model_at_end: true,
    },
  },
};
