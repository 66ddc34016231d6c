/** The settings of generation, by transformers' names; what is left out is the model's own, from generation_config.json. */
import { z } from 'zod';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { checkedSettings } from './checked-settings.ts';
import { settings } from './settings.ts';

const share = z.number().min(0).max(1);
const count = z.int().min(0);

/** Bounds of a repetition penalty: beyond, logits leave what numbers can hold. */
export const LEAST_PENALTY = 0.01;
export const MOST_PENALTY = 100;

/** How a model is found, stored and computed with: the same for generation, its estimate, evaluation and serving. */
export const modelSettings = {
  model_revision: settings.shape.model_revision,
  offline: settings.shape.offline,
  load_in_4bit: settings.shape.load_in_4bit.describe(
    'quantize the linear layers as they are loaded; a checkpoint in 4 bits stays as it is either way',
  ),
  bnb_4bit_quant_type: settings.shape.bnb_4bit_quant_type,
  bnb_4bit_use_double_quant: settings.shape.bnb_4bit_use_double_quant,
  bnb_4bit_blocksize: settings.shape.bnb_4bit_blocksize,
  llm_int8_skip_modules: settings.shape.llm_int8_skip_modules,
  dtype: settings.shape.dtype,
  compute_dtype: z
    .enum(['float32', 'float16'])
    .default('float32')
    .describe('dtype of the matrix products; sums and the cache are float32'),
  matmul_tier: settings.shape.matmul_tier,
  max_gpu_memory: settings.shape.max_gpu_memory,
};

export const generateSettings = z.strictObject({
  ...modelSettings,
  max_new_tokens: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe("most tokens generated; null takes the model's own limit, or 256; the context ends it too"),
  min_new_tokens: count.nullable().default(null).describe('tokens before which no end of text comes'),
  do_sample: z
    .boolean()
    .nullable()
    .default(null)
    .describe(
      'draw each token; false takes the likeliest. null draws where a temperature, top_k, top_p or min_p is given',
    ),
  temperature: z
    .number()
    .min(0)
    .nullable()
    .default(null)
    .describe('divides the logits; 0 takes the likeliest token every time'),
  top_k: count.nullable().default(null).describe('draw among this many likeliest tokens; 0 among all'),
  top_p: share
    .nullable()
    .default(null)
    .describe('draw among the likeliest tokens that together reach this probability'),
  min_p: share.nullable().default(null).describe('draw among tokens at least this share as likely as the likeliest'),
  repetition_penalty: z
    .number()
    .min(LEAST_PENALTY)
    .max(MOST_PENALTY)
    .nullable()
    .default(null)
    .describe('above 1 makes tokens that were there already less likely; 1 changes nothing'),
  stop: z.array(z.string().min(1)).default([]).describe('texts that end a generation, and are not part of it'),
  ignore_eos: z.boolean().default(false).describe("go on past the model's end of text"),
  seed: settings.shape.seed.describe('seed of the draws: the same request draws the same tokens in any batch'),
  logprobs: z
    .int()
    .min(0)
    .max(20)
    .nullable()
    .default(null)
    .describe(
      'log-probability of each token, with this many of the likeliest beside it, before penalty and temperature',
    ),
  batch_size: z.int().min(1).default(8).describe('prompts that are worked on at once'),
  chat: z
    .boolean()
    .default(false)
    .describe('take a text prompt as what a user says, in the chat template; prompts of messages are put in it anyway'),
  chat_template_path: settings.shape.chat_template_path,
  add_special_tokens: z
    .boolean()
    .default(true)
    .describe("put the tokenizer's own tokens around a prompt, such as a beginning of text"),
  skip_special_tokens: z.boolean().default(true).describe('leave special tokens out of the text; token_ids has them'),
});

export type GenerateInput = z.input<typeof generateSettings>;

const { shape } = generateSettings;

/** What decides how much memory generation needs: settings of generation, and the lengths that its prompts would have. */
export const generateEstimateSettings = z.strictObject({
  ...modelSettings,
  max_new_tokens: shape.max_new_tokens,
  batch_size: shape.batch_size,
  context: z
    .int()
    .min(2)
    .nullable()
    .default(null)
    .describe('tokens of a prompt and the text after it, together; null takes 4096, or all positions of the model'),
});

export type GenerateEstimateInput = z.input<typeof generateEstimateSettings>;
export type GenerateEstimateConfig = z.output<typeof generateEstimateSettings>;

export type GenerateKey = keyof typeof generateSettings.shape;
export type GenerateConfig = z.output<typeof generateSettings>;

/**
 * Checks settings and fills in defaults. `whereOf` names the source of a setting in messages: its flag, or the options.
 * @throws ConfigError with all that is wrong, and with `found` before it
 */
export function checkGenerateSettings(
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[] = [],
): GenerateConfig {
  const config = checkedSettings(generateSettings, given, whereOf, found);
  const problems = contradictions(config, whereOf);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

const DRAWING = ['temperature', 'top_k', 'top_p', 'min_p'] as const;

/** Finds settings of which one would do nothing. */
function contradictions(config: GenerateConfig, whereOf: (key: string) => string): ConfigProblem[] {
  const { do_sample, temperature } = config;
  const isGreedy = do_sample === false || temperature === 0;
  const why = do_sample === false ? 'do_sample is false' : 'temperature is 0';
  const problems = DRAWING.flatMap((key): ConfigProblem[] => {
    const value = config[key];
    if (!isGreedy || value === null || (key === 'temperature' && value === 0)) return [];
    return [
      {
        path: key,
        message: `${value} says how to draw, but ${why}, which draws nothing; leave one out (${whereOf(key)})`,
      },
    ];
  });
  if (do_sample === true && temperature === 0)
    problems.push({
      path: 'do_sample',
      message: `is true, but temperature is 0, which draws nothing (${whereOf('do_sample')})`,
    });
  const { max_new_tokens: most, min_new_tokens: least } = config;
  if (most !== null && least !== null && least > most)
    problems.push({
      path: 'min_new_tokens',
      message: `got ${least}, above max_new_tokens ${most} (${whereOf('min_new_tokens')})`,
    });
  return problems;
}

/** Checks the settings of an estimate of generation likewise. @throws ConfigError with all that is wrong */
export function checkGenerateEstimate(
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[] = [],
): GenerateEstimateConfig {
  const config = checkedSettings(generateEstimateSettings, given, whereOf, found);
  const { context, max_new_tokens: most } = config;
  if (context !== null && most !== null && most >= context)
    throw new ConfigError([
      {
        path: 'max_new_tokens',
        message: `got ${most}, and the context of ${context} has to hold a prompt as well (${whereOf('max_new_tokens')})`,
      },
    ]);
  return config;
}
