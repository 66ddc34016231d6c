/** The keys of a suite file beside `base` and `arms`, which hold training settings. */
import { z } from 'zod';
import { fileNameType } from './file-name.ts';

/** Paired seeds are what the statistics rest on; below three the report names no winner. */
const DEFAULT_SEEDS = [0, 1, 2];
const MAX_SEED = 2 ** 32 - 1;

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
};

/** Keys that are refused as not supported yet, rather than as unknown. */
export const UNSUPPORTED_SUITE_KEYS: readonly string[] = ['matrix', 'exclude', 'tasks', 'budget', 'target', 'shard'];
