/** Settings: rows and how they are read. */
import { z } from 'zod';
import { atLeastOne, fraction, text } from './types.ts';

// One position predicts the next: a row of one token trains nothing.
const MIN_LENGTH = 2;
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

export const data = {
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
