/** The keys of a suite file beside `base`, `arms` and `matrix`, which hold training settings. */
import { z } from 'zod';
import { sizeType } from './bytes.ts';
import { fileNameType } from './file-name.ts';

/** Paired seeds are what the statistics rest on; below six the report names no winner of anything noisy. */
const DEFAULT_SEEDS = [0, 1, 2];
const MAX_SEED = 2 ** 32 - 1;

/** Settings that a budget can stretch. */
export const STRETCHED = ['per_device_train_batch_size', 'max_length'] as const;
const MOST_STRETCHED = 65_536;

const budgetShape = z.strictObject({
  memory: sizeType.describe('GPU memory that each arm may take: 24GB, 24GiB'),
  largest: z
    .enum(STRETCHED)
    .default('per_device_train_batch_size')
    .describe('the setting that each arm takes as large as fits'),
  most: z.int().min(1).max(MOST_STRETCHED).default(1024).describe('the largest value to try'),
});

export const suiteShape = {
  suite: fileNameType.describe('name of the suite: letters, digits, hyphens; names its result folder'),
  description: z.string().default('').describe('what the suite asks, in a sentence for the report'),
  seeds: z
    .array(z.int().min(0).max(MAX_SEED))
    .min(1)
    .default(DEFAULT_SEEDS)
    .describe('one replicate of every arm per seed'),
  division: z
    .enum(['closed', 'open'])
    .default('closed')
    .describe('closed: arms may differ only in how the base is stored and what is trained; open: in anything'),
  baseline: z.string().optional().describe('the arm that the others are held against; the first one by default'),
  exclude: z
    .array(z.record(z.string(), z.json()))
    .default([])
    .describe('runs to leave out: an arm, values of the axes of matrix, or both'),
  budget: budgetShape.optional().describe('each arm takes the largest batch, or rows, that fit this memory'),
  target: z
    .strictObject({ eval_loss: z.number().positive().describe('nats a token') })
    .optional()
    .describe('evaluation loss whose time of arrival is recorded'),
  profile: z
    .boolean()
    .default(false)
    .describe('whether the first run of each arm times its kernels and the peak of the device, after training'),
};

export type Budget = z.infer<typeof budgetShape>;
export type Target = { readonly eval_loss: number };

/** Keys that are refused as not supported yet, rather than as unknown. */
export const UNSUPPORTED_SUITE_KEYS: readonly string[] = ['tasks', 'shard'];
