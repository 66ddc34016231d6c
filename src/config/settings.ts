/** Every setting of a training run, once: type, default and help. Flags, help texts and the JSON Schema come from here. */
import { z } from 'zod';
import { sizeType } from './bytes.ts';
import { REPORTERS } from './reporters.ts';
import { SCHEDULER_TYPES, schedulerKwargs } from './schedulers.ts';

// The generator behind shuffling and dropout takes a 32-bit seed, as torch's does.
const MAX_SEED = 2 ** 32 - 1;
// One position predicts the next: a row of one token trains nothing.
const MIN_LENGTH = 2;

/** Spellings of AdamW; paged and 8-bit ones are computed with moments of 32 bits on the GPU, and a notice says so. */
const OPTIMIZERS = [
  ...(['adamw_torch', 'adamw_torch_fused', 'adamw', 'adamw_hf', 'paged_adamw', 'paged_adamw_32bit'] as const),
  ...(['paged_adamw_8bit', 'adamw_8bit', 'adamw_bnb_8bit'] as const),
] as const;

const text = z.string().min(1);
const atLeastOne = z.int().min(1);
const layer = z.int().min(0);
const fraction = z.number().min(0).lt(1);
const stepsOrShare = z.union([z.number().gt(0).lt(1), atLeastOne]);
const seed = z.int().min(0).max(MAX_SEED);
const dataset = z.strictObject({
  path: text.describe(
    "a file of rows (JSONL, JSON, CSV, TSV, Parquet, also gzipped), a folder of them, or a dataset's name on the hub: ORG/NAME",
  ),
  type: z
    .enum(['messages', 'conversations', 'prompt-completion', 'alpaca', 'tokenized', 'text-chunks'])
    .optional()
    .describe('how rows are read; left out, by the columns that each row has'),
  split: text
    .optional()
    .describe(
      'which files of a folder or of a dataset on the hub: train, validation, test; left out, train, and validation for eval_datasets',
    ),
  roles: z
    .record(text, z.array(text))
    .optional()
    .describe(
      "the chat template's roles, and what rows call each, as Axolotl has it: {user: [human], assistant: [gpt]}",
    ),
  name: text.optional().describe('which configuration of a dataset on the hub, where it has several'),
  revision: text.optional().describe('branch, tag or commit of a dataset on the hub; left out, main'),
  data_files: z
    .union([text, z.array(text).min(1)])
    .optional()
    .describe('which files of a dataset on the hub, by path or pattern (data/*.parquet), instead of those of a split'),
});
const computeDtype = z.enum(['float32', 'float16', 'bfloat16']);

const model = {
  model_name_or_path: text.describe(
    'directory of a Hugging Face model (config.json, safetensors, tokenizer.json), or its name on the hub: ORG/NAME',
  ),
  model_revision: text.default('main').describe('branch, tag or commit of a model that comes from the hub'),
  offline: z
    .boolean()
    .default(false)
    .describe('take what comes from the hub from its cache alone; HF_HUB_OFFLINE=1 does the same'),
  output_dir: text
    .default('trainer_output')
    .describe(
      'folder the run writes; it must be empty or new, unless resume_from_checkpoint goes on with the run in it',
    ),
  method: z
    .enum(['lora', 'qlora', 'full'])
    .default('lora')
    .describe('what is trained: adapters on a 16-bit base, adapters on a 4-bit base, or every weight'),
  dtype: z
    .enum(['auto', 'float32', 'float16', 'bfloat16'])
    .default('auto')
    .describe("how the base weights are stored on the GPU; auto keeps the checkpoint's own"),
  compute_dtype: computeDtype
    .default('float32')
    .describe('dtype of the matrix products, for every method; bnb_4bit_compute_dtype is its other spelling'),
  bf16: z
    .union([z.boolean(), z.literal('auto'), z.null()])
    .default(false)
    .describe("Hugging Face's mixed precision: computed as bf16_as says, since WebGPU has no bfloat16"),
  fp16: z
    .boolean()
    .nullable()
    .default(false)
    .describe("Hugging Face's mixed precision: float16 with a loss scale, or float32 where the device has no float16"),
  bf16_as: z
    .enum(['float32', 'float16'])
    .nullable()
    .default(null)
    .describe(
      'what to compute in where bfloat16, bf16 or fp16 is asked for; null takes float16 with a loss scale where the device ' +
        'has it, else float32',
    ),
  matmul_tier: z
    .enum(['auto', 'direct', 'simt', 'subgroup_matrix'])
    .default('auto')
    .describe(
      'kernels of the matrix products; auto takes the best the device has, another is an error where it has it not',
    ),
  max_gpu_memory: sizeType
    .nullable()
    .default(null)
    .describe(
      'bytes, or a size such as 40GB or 40GiB, that a run may need of the GPU: one whose plan needs more is refused before ' +
        'anything is allocated; null takes what the driver says is free, where it says so',
    ),
};

const quantization = {
  load_in_4bit: z.boolean().default(false).describe('true is the same as method: qlora'),
  bnb_4bit_quant_type: z.enum(['nf4', 'fp4']).default('nf4').describe('4-bit code of the base weights'),
  bnb_4bit_use_double_quant: z.boolean().default(false).describe('quantize the block scales as well, to 8 bits'),
  bnb_4bit_compute_dtype: computeDtype
    .default('float32')
    .describe("Hugging Face's spelling of compute_dtype; the two are always equal"),
  bnb_4bit_quant_storage: z.literal('uint8').default('uint8').describe('dtype the packed nibbles are stored as'),
  bnb_4bit_blocksize: z
    .union([32, 64, 128, 256, 512, 1024, 2048, 4096].map((size) => z.literal(size)))
    .default(64)
    .describe('weights that share one scale'),
  llm_int8_skip_modules: z
    .array(text)
    .nullable()
    .default(null)
    .describe('modules kept out of quantization; null keeps lm_head and the embedding'),
};

const adapter = {
  lora_r: atLeastOne.default(8).describe('rank of the adapters'),
  lora_alpha: z.number().gt(0).default(8).describe("the adapter's output is scaled by lora_alpha / lora_r"),
  lora_dropout: fraction.default(0).describe("dropout on the adapter's input"),
  lora_target_modules: z
    .union([z.array(text).min(1), text, z.null()])
    .default(null)
    .describe("names, a regular expression for whole names, or all-linear; null takes PEFT's for the architecture"),
  exclude_modules: z
    .union([z.array(text), text, z.null()])
    .default(null)
    .describe('names, or a regular expression for whole names, of modules to leave out of the targets'),
  layers_to_transform: z
    .union([z.array(layer), layer, z.null()])
    .default(null)
    .describe('layers to adapt, by index from 0, where lora_target_modules is a list; null adapts all'),
  layers_pattern: z
    .union([z.array(text), text, z.null()])
    .default(null)
    .describe('what stands before the index of a layer in a name; null takes any name'),
  rank_pattern: z
    .record(text, atLeastOne)
    .default({})
    .describe('ranks of modules whose names end in a match of the key'),
  alpha_pattern: z
    .record(text, z.number().gt(0))
    .default({})
    .describe('lora_alpha of modules whose names end in a match of the key'),
  use_rslora: z.boolean().default(false).describe('scale by lora_alpha / sqrt(lora_r) instead'),
  use_dora: z.boolean().default(false).describe('DoRA: train the norms of the rows of each adapted weight as well'),
  bias: z
    .enum(['none', 'all', 'lora_only'])
    .default('none')
    .describe('biases of the base to train: all, or of adapted layers'),
  lora_modules_to_save: z
    .array(text)
    .nullable()
    .default(null)
    .describe('modules to train whole, in 32 bits, and to save with the adapter'),
  ensure_weight_tying: z
    .boolean()
    .default(false)
    .describe('train a tied embedding in lora_modules_to_save as one with the output embedding'),
  init_lora_weights: z
    .union([z.boolean(), z.literal('gaussian')])
    .default(true)
    .describe('start of lora_A, with lora_B at zero: true is Kaiming-uniform; false starts both at random, for tests'),
  adapter_name_or_path: text
    .nullable()
    .default(null)
    .describe('directory of a PEFT adapter to go on training, or its name on the hub'),
};

const data = {
  datasets: z.array(dataset).default([]).describe('training rows'),
  eval_datasets: z.array(dataset).default([]).describe('rows the evaluation loss is taken on'),
  dataset_config: text
    .nullable()
    .default(null)
    .describe(
      'configuration of datasets on the hub, where an entry of datasets or eval_datasets has no name of its own',
    ),
  dataset_train_split: text.default('train').describe('split of datasets, where an entry has none of its own'),
  dataset_test_split: text.default('validation').describe('split of eval_datasets, where an entry has none of its own'),
  val_set_size: z
    .union([fraction, atLeastOne])
    .default(0)
    .describe('rows of datasets that are evaluated on instead: below 1, a fraction of them; else a count'),
  max_samples: atLeastOne
    .nullable()
    .default(null)
    .describe('rows taken of each dataset at most, from its beginning; null takes all'),
  dataset_dir: text
    .default('data')
    .describe("folder whose dataset_info.json says which file a dataset's name stands for, as LLaMA-Factory has it"),
  special_tokens: z
    .record(text, text)
    .nullable()
    .default(null)
    .describe("special tokens as Axolotl names them: they have to be the tokenizer's own, the padding apart"),
  max_length: z
    .int()
    .min(MIN_LENGTH)
    .nullable()
    .default(1024)
    .describe(
      'tokens a row is cut to, or packed to; null cuts none, and refuses rows beyond the positions of the model',
    ),
  packing: z.boolean().default(false).describe('put several rows into one of at most max_length tokens, as TRL does'),
  packing_strategy: z
    .enum(['bfd', 'bfd_split', 'wrapped'])
    .default('bfd')
    .describe(
      'how: bfd keeps rows apart and cuts long ones, bfd_split splits those instead, wrapped makes one stream and cuts it',
    ),
  eval_packing: z
    .boolean()
    .nullable()
    .default(null)
    .describe('whether eval_datasets are packed too; null takes packing'),
  padding_free: z.boolean().default(false).describe('implied by packing, unless wrapped; refused without it'),
  train_sampling_strategy: z
    .enum(['random', 'sequential', 'group_by_length'])
    .default('random')
    .describe('order of the training rows'),
  append_eos: z
    .boolean()
    .default(true)
    .describe('end rows of text and text completions with the EOS of the tokenizer where it has one, as TRL does'),
  dataset_text_field: text.default('text').describe('the column of plain text'),
  completion_only_loss: z
    .boolean()
    .nullable()
    .default(null)
    .describe('learn from completions alone; null does where rows have a prompt and a completion'),
  assistant_only_loss: z
    .boolean()
    .default(false)
    .describe('learn only from what the assistant says, by the {% generation %} marks of the chat template'),
  chat_template_path: text
    .nullable()
    .default(null)
    .describe(
      "a .jinja file, or the directory or the hub's name of a tokenizer, whose chat template takes the place of the model's",
    ),
};

const training = {
  per_device_train_batch_size: atLeastOne.default(8).describe('rows in a micro-batch'),
  per_device_eval_batch_size: atLeastOne.default(8).describe('rows in an evaluation batch'),
  gradient_accumulation_steps: atLeastOne.default(1).describe('micro-batches in an optimizer step'),
  num_train_epochs: z.number().gt(0).default(3).describe('passes over the data, unless max_steps is set'),
  max_steps: z
    .union([z.literal(-1), atLeastOne])
    .default(-1)
    .describe('optimizer steps; -1 counts epochs instead'),
  learning_rate: z.number().min(0).default(5e-5).describe('peak learning rate'),
  lr_scheduler_type: z.enum(SCHEDULER_TYPES).default('linear').describe('shape of the learning rate after warmup'),
  lr_scheduler_kwargs: schedulerKwargs
    .nullable()
    .default(null)
    .describe('further arguments of the schedule, such as num_cycles; which ones depends on lr_scheduler_type'),
  warmup_steps: z
    .union([fraction, atLeastOne])
    .default(0)
    .describe('steps the learning rate rises for; below 1, a fraction of all steps'),
  loss_denominator: z
    .enum(['shifted_labels', 'all_labels'])
    .default('shifted_labels')
    .describe(
      'what the loss of a step is divided by: the labels that are predicted, or, as transformers 4.46 to 5.9 counted, ' +
        "those of every row's first token as well",
    ),
  optim: z
    .enum(OPTIMIZERS)
    .default('adamw_torch')
    .describe('optimizer: AdamW with 32-bit moments on the GPU, under each of its names'),
  weight_decay: z.number().min(0).default(0).describe('decoupled weight decay'),
  adam_beta1: fraction.default(0.9).describe('decay of the first moment'),
  adam_beta2: fraction.default(0.999).describe('decay of the second moment'),
  adam_epsilon: z.number().gt(0).default(1e-8).describe('added to the root of the second moment'),
  gradient_checkpointing: z
    .union([z.boolean(), z.literal('selective')])
    .default(false)
    .describe(
      'compute each layer again in backward instead of keeping its activations: less memory, slower; selective keeps what ' +
        'matrix products and attention made and computes only the rest again',
    ),
  gradient_checkpointing_dtype: z
    .enum(['float32', 'float16'])
    .default('float32')
    .describe(
      'type that the kept inputs of checkpointed layers lie in; float16 halves them, and backward computes each layer again ' +
        'from the rounded input (with compute_dtype: float16)',
    ),
  max_grad_norm: z.number().min(0).default(1).describe('gradient norm is clipped to this; 0 turns clipping off'),
  seed: seed.default(42).describe('seed of initialisation, dropout and shuffling'),
  data_seed: seed.nullable().default(null).describe('seed of shuffling alone; null takes seed'),
};

const lossScaling = {
  loss_scale: z
    .union([z.literal('dynamic'), z.number().gt(0)])
    .default('dynamic')
    .describe('what the loss is multiplied with before backward, and gradients divided by after it: dynamic, or fixed'),
  init_scale: z.number().gt(0).default(65536).describe('the first dynamic scale'),
  growth_factor: z.number().gt(1).default(2).describe('a dynamic scale grows by this'),
  backoff_factor: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.5)
    .describe('a dynamic scale is multiplied with this after an overflow, whose update is skipped'),
  growth_interval: atLeastOne.default(2000).describe('updates without an overflow before a dynamic scale grows'),
};

const watching = {
  logging_steps: atLeastOne.default(1).describe('steps between two entries of log_history'),
  logging_first_step: z.boolean().default(false).describe('an entry for the first step, whatever logging_steps says'),
  eval_strategy: z
    .enum(['no', 'steps', 'epoch'])
    .default('no')
    .describe('when to evaluate during training; eval_datasets are always evaluated once at the end'),
  eval_steps: stepsOrShare
    .nullable()
    .default(null)
    .describe(
      'steps between evaluations, or below 1 a fraction of all steps; null takes logging_steps where that is set, else 500',
    ),
  eval_on_start: z.boolean().default(false).describe('evaluate before the first step as well'),
  strict: z
    .boolean()
    .default(false)
    .describe('make an error of all advice before a run, and of every setting that is not followed as it is written'),
  report_to: z
    .union([z.array(z.enum(REPORTERS)), z.enum(REPORTERS), z.null()])
    .default('none')
    .describe(
      'where the log goes beside log.jsonl: tensorboard (event files in logging_dir), csv (log.csv), jsonl (log.jsonl, which is ' +
        'always there), several of them, all, or none; services that logs are sent to are taken, and nothing is sent',
    ),
  logging_dir: text
    .nullable()
    .default(null)
    .describe('folder of the event files for TensorBoard; null takes output_dir/runs/DATE_HOST, as transformers does'),
  on_nan: z
    .enum(['stop', 'skip'])
    .default('stop')
    .describe(
      'a step whose loss is not finite: stop ends the run, skip leaves out the update and goes on; overflows that a loss ' +
        'scale answers count for neither',
    ),
};

const checkpoints = {
  save_strategy: z
    .enum(['no', 'steps', 'epoch', 'best'])
    .default('steps')
    .describe(
      'when to save a checkpoint in output_dir/checkpoint-N: every save_steps, every epoch (both at the last step too), ' +
        'or when an evaluation is the best so far',
    ),
  save_steps: stepsOrShare.default(500).describe('steps between checkpoints; below 1, a fraction of all steps'),
  save_total_limit: atLeastOne
    .nullable()
    .default(null)
    .describe('checkpoints to keep: older ones are deleted, but not the best one; null keeps all'),
  load_best_model_at_end: z
    .boolean()
    .default(false)
    .describe('end with the weights of the best checkpoint; needs evaluations where checkpoints are saved'),
  metric_for_best_model: z
    .enum(['loss', 'eval_loss'])
    .nullable()
    .default(null)
    .describe('what the best checkpoint is the best in; null takes loss where a setting needs one'),
  greater_is_better: z
    .boolean()
    .nullable()
    .default(null)
    .describe('whether a higher metric is better; null: not for a loss'),
  early_stopping_patience: atLeastOne
    .nullable()
    .default(null)
    .describe('evaluations in a row without a better metric after which the run ends; null never ends it early'),
  early_stopping_threshold: z
    .number()
    .min(0)
    .default(0)
    .describe('by how much an evaluation has to be better to count for early_stopping_patience'),
  resume_from_checkpoint: z
    .union([z.boolean(), text])
    .nullable()
    .default(null)
    .describe(
      'go on with a run: true from the newest complete checkpoint in output_dir (from the beginning where there is none), ' +
        'or the folder of a checkpoint',
    ),
  max_minutes: z
    .number()
    .gt(0)
    .nullable()
    .default(null)
    .describe('save a checkpoint and end the run before so many minutes are over; null has no limit'),
};

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
  optim: 'adamw_torch';
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
