/** Settings: batches, steps, rates and the optimizer. */
import { z } from 'zod';
import { sizeType } from '../bytes.ts';
import { OPTIMIZER_NAMES } from '../optimizers.ts';
import { SCHEDULER_TYPES, schedulerKwargs } from '../schedulers.ts';
import { atLeastOne, fraction } from './types.ts';

// The generator behind shuffling and dropout takes a 32-bit seed, as torch's does.
const MAX_SEED = 2 ** 32 - 1;
const seed = z.int().min(0).max(MAX_SEED);

export const training = {
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
    .enum(OPTIMIZER_NAMES)
    .default('adamw_torch')
    .describe(
      'optimizer, as Hugging Face names it: AdamW or Lion, with moments of 32 bits, or of 8 as bitsandbytes has them; paged: ' +
        'moments beyond paged_optimizer_memory lie in host memory; sgd: no moments',
    ),
  paged_optimizer_memory: sizeType
    .nullable()
    .default(null)
    .describe(
      'bytes, or a size such as 2GB, of the GPU for the state of a paged optimizer; null takes what max_gpu_memory, or else ' +
        "the driver's free memory, leaves",
    ),
  weight_decay: z.number().min(0).default(0).describe('decoupled weight decay'),
  adam_beta1: fraction.default(0.9).describe('decay of the first moment'),
  adam_beta2: fraction.default(0.999).describe('decay of the second moment'),
  adam_epsilon: z.number().gt(0).default(1e-8).describe('added to the root of the second moment'),
  gradient_checkpointing: z
    .union([z.boolean(), z.literal(['selective', 'auto'])])
    .default(false)
    .describe(
      'compute each layer again in backward instead of keeping its activations: less memory, slower; selective keeps what ' +
        'matrix products and attention made and computes only the rest again; auto takes the fastest of these plans that fits ' +
        'max_gpu_memory, or else the memory that the driver says is free',
    ),
  gradient_checkpointing_dtype: z
    .enum(['float32', 'float16'])
    .default('float32')
    .describe(
      'type that the kept inputs of checkpointed layers lie in; float16 halves them, and backward computes each layer again ' +
        'from the rounded input (with compute_dtype: float16)',
    ),
  neftune_noise_alpha: z
    .number()
    .gt(0)
    .nullable()
    .default(null)
    .describe(
      'NEFTune: uniform noise on the embeddings in training, of at most this / sqrt(tokens of a row * hidden size)',
    ),
  max_grad_norm: z.number().min(0).default(1).describe('gradient norm is clipped to this; 0 turns clipping off'),
  seed: seed.default(42).describe('seed of initialisation, dropout and shuffling'),
  data_seed: seed.nullable().default(null).describe('seed of shuffling alone; null takes seed'),
};
