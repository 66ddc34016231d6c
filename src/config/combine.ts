/** The settings of adding adapters up, under the names of PEFT's add_weighted_adapter. */
import { z } from 'zod';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { checkedSettings } from './checked-settings.ts';
import { hubSettings } from './hub.ts';

export const combineSettings = z.strictObject({
  ...hubSettings.shape,
  combination_type: z
    .enum(['linear', 'cat', 'svd'])
    .default('svd')
    .describe(
      'cat keeps every rank, and the sum is exact; svd is the closest sum of one rank; linear adds the matrices of one rank, a rough sum',
    ),
  svd_rank: z
    .int()
    .positive()
    .nullable()
    .default(null)
    .describe('the rank that svd writes; null is the largest of the adapters'),
});

export type CombineInput = z.input<typeof combineSettings>;
export type CombineConfig = z.output<typeof combineSettings>;

/**
 * Checks settings and fills in defaults. `whereOf` names the source of a setting in messages.
 * @throws ConfigError with all that is wrong, and with `found` before it
 */
export function checkCombineSettings(
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[] = [],
): CombineConfig {
  const config = checkedSettings(combineSettings, given, whereOf, found);
  if (config.svd_rank !== null && config.combination_type !== 'svd')
    throw new ConfigError([
      {
        path: 'svd_rank',
        message: `is for combination_type svd, which is ${config.combination_type}; leave it out (${whereOf('svd_rank')})`,
      },
    ]);
  return config;
}
