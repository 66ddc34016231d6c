/** What a task file of lm-eval may hold: the keys that are followed, and those that are refused with their reason. */
import { z } from 'zod';

const text = z.string().min(1);
const template = z.string();
const split = text.nullable().default(null);

export const OUTPUT_TYPES = ['loglikelihood', 'loglikelihood_rolling', 'multiple_choice', 'generate_until'] as const;
export type OutputType = (typeof OUTPUT_TYPES)[number];

/** Formats of rows that are read with the types they have: a CSV has none. */
const DATASETS = ['json', 'parquet'] as const;

const files = z.union([text, z.array(text).min(1)]);
const target = z.union([template, z.int(), z.array(z.string())]);
const choice = z.union([template, z.array(z.string()).min(1), z.record(z.string(), z.string())]);

const metric = z.strictObject({
  metric: text,
  aggregation: text.optional(),
  higher_is_better: z.boolean().optional(),
  ignore_case: z.boolean().optional(),
  ignore_punctuation: z.boolean().optional(),
  ignore_numbers: z.boolean().optional(),
  regexes_to_ignore: z.array(z.string()).optional(),
});

const filter = z.strictObject({
  function: text,
  regex_pattern: z.string().optional(),
  group_select: z.int().optional(),
  fallback: z.string().optional(),
  k: z.int().min(1).optional(),
  mapping_dict: z.record(z.string(), z.string()).optional(),
  default_value: z.string().nullable().optional(),
});

const count = z.int().min(1).optional();

const generation = z.strictObject({
  until: z.union([z.string(), z.array(z.string())]).optional(),
  do_sample: z.boolean().optional(),
  temperature: z.number().min(0).optional(),
  top_k: z.int().min(0).optional(),
  top_p: z.number().min(0).max(1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repetition_penalty: z.number().gt(0).optional(),
  max_gen_toks: count,
  max_new_tokens: count,
  max_tokens: count,
  max_completion_tokens: count,
});

const fewshot = z.strictObject({
  sampler: z.enum(['default', 'first_n']).default('default'),
  split: text.optional(),
  samples: z.array(z.record(z.string(), z.unknown())).min(1).optional(),
  doc_to_text: template.optional(),
  doc_to_target: target.optional(),
  doc_to_choice: choice.optional(),
  fewshot_delimiter: z.string().optional(),
  target_delimiter: z.string().optional(),
  gen_prefix: z.string().optional(),
});

/** Keys of a task that are followed, by lm-eval's names, and its defaults. */
export const taskShape = {
  task: text,
  task_alias: text.nullable().default(null),
  tag: z.union([text, z.array(text)]).optional(),
  dataset_path: z.enum(DATASETS),
  dataset_kwargs: z.strictObject({
    data_files: z.union([files, z.record(z.string(), files)]),
    trust_remote_code: z.boolean().optional(),
  }),
  training_split: split,
  validation_split: split,
  test_split: split,
  fewshot_split: split,
  doc_to_text: template,
  doc_to_target: target,
  doc_to_choice: choice.nullable().default(null),
  description: z.string().default(''),
  target_delimiter: z.string().default(' '),
  fewshot_delimiter: z.string().default('\n\n'),
  fewshot_config: fewshot.nullable().default(null),
  num_fewshot: z.int().min(0).nullable().default(null),
  metric_list: z.array(metric).min(1).nullable().default(null),
  output_type: z.enum(OUTPUT_TYPES).default('generate_until'),
  generation_kwargs: generation.nullable().default(null),
  repeats: z.int().min(1).default(1),
  filter_list: z
    .array(z.strictObject({ name: text, filter: z.array(filter).min(1) }))
    .min(1)
    .nullable()
    .default(null),
  // lm-eval reads these where it looks for test rows in training data, which it does no more
  should_decontaminate: z.boolean().default(false),
  doc_to_decontamination_query: template.nullable().default(null),
  gen_prefix: z.string().nullable().default(null),
  metadata: z.record(z.string(), z.unknown()).nullable().default(null),
};

export const taskSchema = z.strictObject(taskShape);
export type TaskFields = z.output<typeof taskSchema>;
export type MetricField = NonNullable<TaskFields['metric_list']>[number];
export type FilterField = NonNullable<TaskFields['filter_list']>[number]['filter'][number];
export type GenerationField = NonNullable<TaskFields['generation_kwargs']>;

/** Keys of lm-eval that are not followed: why, and what to do. */
export const REFUSED: Readonly<Record<string, string>> = {
  process_docs: 'names Python code, which nibble does not run; write rows that need no processing',
  process_results: 'names Python code, which nibble does not run; use metric_list and filter_list',
  custom_dataset: 'names Python code, which nibble does not run; write the rows to a file, and name it in data_files',
  class: 'names Python code, which nibble does not run',
  use_prompt: 'takes a prompt of promptsource, which nibble does not have; write doc_to_text and doc_to_target',
  doc_to_image: 'asks for images, and nibble runs models of text',
  doc_to_audio: 'asks for audio, and nibble runs models of text',
  unsafe_code: 'asks to run code that a model wrote, which nibble does not do',
  dataset_name: 'is a configuration of a dataset on the hub; give local files in dataset_kwargs.data_files',
  group: 'makes a group of tasks; give the files of its tasks',
  group_alias: 'belongs to a group of tasks; give the files of its tasks',
  aggregate_metric_list: 'belongs to a group of tasks; give the files of its tasks',
  task_list: 'lists several tasks in one file; give a file for each',
};
