/** Settings: logs, evaluations and advice. */
import { z } from 'zod';
import { REPORTERS } from '../reporters.ts';
import { atLeastOne, stepsOrShare, text } from './types.ts';

export const watching = {
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
  eval_generate: z
    .union([z.array(text).min(1), text, z.null()])
    .default(null)
    .describe(
      'prompts that are written on after before the first step, at evaluations during the run and at its end, with the likeliest token every time: a list of texts, or the name of a file with a prompt on each line',
    ),
  eval_generate_max_new_tokens: atLeastOne.default(64).describe('most tokens that eval_generate writes after a prompt'),
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
