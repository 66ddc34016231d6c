/** The settings of evaluation: what is asked, of which models. Names are lm-eval's where it has them, else those of training. */
import { z } from 'zod';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { checkedSettings } from './checked-settings.ts';
import { generateSettings, modelSettings } from './generate.ts';
import { settings } from './settings.ts';

const text = z.string().min(1);
const { shape: training } = settings;
const { shape: generation } = generateSettings;

/** How rows of datasets are read and cut: training's own settings, so that a loss here is the loss there. */
export const datasetSettings = {
  datasets: training.datasets.describe('rows whose loss is taken, as training takes it on eval_datasets'),
  dataset_config: training.dataset_config,
  dataset_test_split: training.dataset_test_split.describe('split of datasets, where an entry has none of its own'),
  dataset_dir: training.dataset_dir,
  max_samples: training.max_samples,
  max_length: training.max_length,
  append_eos: training.append_eos,
  dataset_text_field: training.dataset_text_field,
  completion_only_loss: training.completion_only_loss,
  assistant_only_loss: training.assistant_only_loss,
  chat_template_path: training.chat_template_path,
};

/** Keys of datasetSettings that say nothing where there is no dataset. */
export const OF_DATASETS = Object.keys(datasetSettings).filter((key) => key !== 'datasets');

export const evalSettings = z.strictObject({
  tasks: z.array(text).default([]).describe("task files in lm-eval's YAML, or folders of them"),
  texts: z.array(text).default([]).describe('text files whose perplexity is taken in windows'),
  ...datasetSettings,
  limit: z
    .union([z.number().gt(0).lt(1), z.int().min(1)])
    .nullable()
    .default(null)
    .describe('rows of each task at most, from its beginning; below 1 a fraction of them'),
  num_fewshot: z
    .int()
    .min(0)
    .nullable()
    .default(null)
    .describe("examples before each question; null takes the task's own number, which 0 there keeps"),
  fewshot_seed: z.int().min(0).default(1234).describe("seed of the draw of examples; lm-eval's by default"),
  apply_chat_template: z
    .boolean()
    .default(false)
    .describe("ask tasks as chats, in the model's chat template or that of chat_template_path"),
  system_instruction: text
    .nullable()
    .default(null)
    .describe('what stands before the description of every task; in a chat the two are the system message'),
  fewshot_as_multiturn: z
    .boolean()
    .default(true)
    .describe(
      'in chats, make each worked example a question and an answer; false puts them all into what the user says',
    ),
  bootstrap_iters: z
    .int()
    .min(0)
    .default(100_000)
    .describe('samples of standard errors that have no formula, such as of a perplexity; 0 computes no error'),
  window_length: z
    .int()
    .min(2)
    .nullable()
    .default(null)
    .describe("tokens of a window of texts; null takes the model's context"),
  stride: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      'tokens from the beginning of a window of texts to the next: what a window shares with the one before is context. null takes 512, or the window where that is shorter',
    ),
  include_base: z.boolean().default(true).describe('evaluate the base without an adapter as well'),
  both_bases: z
    .boolean()
    .default(false)
    .describe('evaluate everything on the base as it is stored, and again with its linear layers in 4 bits'),
  ...modelSettings,
  batch_size: z
    .int()
    .min(1)
    .default(8)
    .describe('rows or texts that are worked on at once; results do not depend on it'),
  seed: generation.seed.describe('seed of the draws, where a task draws'),
  output_path: text
    .nullable()
    .default(null)
    .describe("folder for results and samples in lm-eval's layout, a folder in it for each model of the table"),
});

export type EvalInput = z.input<typeof evalSettings>;
export type EvalKey = keyof typeof evalSettings.shape;
export type EvalConfig = z.output<typeof evalSettings>;

/**
 * Checks settings and fills in defaults. `whereOf` names the source of a setting in messages.
 * @throws ConfigError with all that is wrong, and with `found` before it
 */
export function checkEvalSettings(
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[] = [],
): EvalConfig {
  const config = checkedSettings(evalSettings, given, whereOf, found);
  const ofDatasets = unusedDatasetSettings(config, given, whereOf).filter(
    ({ path }) => !(config.apply_chat_template && path === 'chat_template_path'),
  );
  const problems = [
    ...contradictions(config, whereOf),
    ...ofDatasets,
    ...unused(OF_TEXTS, 'texts', config, given, whereOf),
    ...unused(OF_TASKS, 'tasks', config, given, whereOf),
    ...unusedChatSettings(config, given, whereOf),
  ];
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

function contradictions(config: EvalConfig, whereOf: (key: string) => string): ConfigProblem[] {
  const { tasks, texts, datasets, both_bases, load_in_4bit, window_length, stride } = config;
  const problems: ConfigProblem[] = [];
  if (tasks.length + texts.length + datasets.length === 0)
    problems.push({
      path: 'tasks',
      message: `nothing to evaluate: give tasks, datasets or texts (${whereOf('tasks')})`,
    });
  if (config.output_path !== null && tasks.length === 0)
    problems.push({
      path: 'output_path',
      message: `takes the results of tasks, and there are none; leave it out, or give tasks (${whereOf('output_path')})`,
    });
  if (both_bases && load_in_4bit)
    problems.push({
      path: 'load_in_4bit',
      message: `both_bases evaluates in 4 bits as well; leave one of the two out (${whereOf('load_in_4bit')})`,
    });
  if (window_length !== null && stride !== null && stride > window_length)
    problems.push({
      path: 'stride',
      message: `is ${stride}, above window_length ${window_length}: tokens between two windows would be left out (${whereOf('stride')})`,
    });
  return problems;
}

/** Keys that say nothing where there is no text, or no task. */
const OF_TEXTS = ['window_length', 'stride'];
const OF_TASKS = ['limit', 'num_fewshot', 'fewshot_seed'];

function unused(
  keys: readonly string[],
  what: 'texts' | 'tasks',
  config: EvalConfig,
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
): ConfigProblem[] {
  if (config[what].length > 0) return [];
  return keys
    .filter((key) => given[key] !== undefined)
    .map((key) => ({
      path: key,
      message: `says how ${what} are evaluated, and there are none; give ${what}, or leave it out (${whereOf(key)})`,
    }));
}

function unusedChatSettings(
  { tasks, apply_chat_template: isChat }: EvalConfig,
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const path of ['apply_chat_template', 'system_instruction'])
    if (given[path] !== undefined && given[path] !== false && tasks.length === 0)
      problems.push({
        path,
        message: `says how tasks are asked, and there are none; give tasks, or leave it out (${whereOf(path)})`,
      });
  if (given.fewshot_as_multiturn !== undefined && !isChat)
    problems.push({
      path: 'fewshot_as_multiturn',
      message: `says how examples stand in a chat, and apply_chat_template is not set; set it, or leave this out (${whereOf('fewshot_as_multiturn')})`,
    });
  return problems;
}

/** Finds settings of datasets where there is none. @param more keys beside datasetSettings that say nothing then */
export function unusedDatasetSettings(
  config: { readonly datasets: readonly unknown[] },
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  more: readonly string[] = [],
): ConfigProblem[] {
  if (config.datasets.length > 0) return [];
  return [...OF_DATASETS, ...more]
    .filter((key) => given[key] !== undefined)
    .map((key) => ({
      path: key,
      message: `says how datasets are evaluated, and there are none; give datasets, or leave it out (${whereOf(key)})`,
    }));
}
