/** Settings: how a loss is scaled for float16. */
import { z } from 'zod';
import { atLeastOne } from './types.ts';

export const lossScaling = {
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
