/** Settings: what is trained beside the base. */
import { z } from 'zod';
import { atLeastOne, fraction, text } from './types.ts';

type Pissa = `pissa_niter_${number}`;
// a template literal of zod holds no bounds
const pissa = z
  .string()
  .regex(/^pissa_niter_\d{1,3}$/)
  .meta({ examples: ['pissa_niter_4'] }) as unknown as z.ZodType<Pissa, Pissa>;
const layer = z.int().min(0);
const tokens = z.array(z.int().min(0)).min(1);

export const adapter = {
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
  lora_bias: z
    .boolean()
    .default(false)
    .describe('train a bias on lora_B as well; not with use_dora, and merged only into layers that have a bias'),
  lora_modules_to_save: z
    .array(text)
    .nullable()
    .default(null)
    .describe('modules to train whole, in 32 bits, and to save with the adapter'),
  trainable_token_indices: z
    .union([tokens, z.record(text, tokens), z.null()])
    .default(null)
    .describe(
      'ids of tokens whose rows of the embedding to train: a list, or one for each of embed_tokens and lm_head',
    ),
  ensure_weight_tying: z
    .boolean()
    .default(false)
    .describe('train a tied embedding in lora_modules_to_save as one with the output embedding'),
  init_lora_weights: z
    .union([z.boolean(), z.literal('gaussian'), pissa])
    .default(true)
    .describe(
      'start of lora_A, with lora_B at zero: true is Kaiming-uniform; false starts both at random, for tests; pissa_niter_N starts by PiSSA, both out of the weights by a fast SVD of N rounds',
    ),
  loraplus_lr_ratio: z
    .number()
    .gt(0)
    .nullable()
    .default(null)
    .describe('LoRA+: learning rate of lora_B, and of vectors such as biases, as a multiple of learning_rate'),
  loraplus_lr_embedding: z
    .number()
    .min(0)
    .default(1e-6)
    .describe('LoRA+: learning rate of the adapter of an embedding'),
  adapter_name_or_path: text
    .nullable()
    .default(null)
    .describe('directory of a PEFT adapter to go on training, or its name on the hub'),
};
