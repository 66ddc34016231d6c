/** The settings of merging an adapter into its base. */
import { z } from 'zod';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { bytesOfSize } from './bytes.ts';
import { checkedSettings } from './checked-settings.ts';
import { datasetSettings, evalSettings, unusedDatasetSettings } from './eval.ts';
import { quantizeSettings } from './quantize.ts';
import { settings } from './settings.ts';

/** Settings of the loss before and after, which say nothing where no dataset is given. */
const lossSettings = {
  compute_dtype: evalSettings.shape.compute_dtype,
  matmul_tier: evalSettings.shape.matmul_tier,
  max_gpu_memory: evalSettings.shape.max_gpu_memory,
  batch_size: evalSettings.shape.batch_size,
};

export const mergeSettings = z.strictObject({
  model_revision: settings.shape.model_revision,
  offline: settings.shape.offline,
  dtype: quantizeSettings.shape.dtype.describe("what the merged weights are written as; auto keeps the base's own"),
  safe_merge: z
    .boolean()
    .default(false)
    .describe(
      "PEFT's safe_merge: round an update to the base's type before adding it; values that are not finite are refused either way",
    ),
  dequantize: z
    .boolean()
    .default(false)
    .describe('write a base in 4 bits as ordinary weights; else the merged weights are quantized as the base was'),
  max_shard_size: quantizeSettings.shape.max_shard_size,
  ...datasetSettings,
  datasets: datasetSettings.datasets.describe(
    'rows whose loss is taken before and after the merge, as training takes it on eval_datasets; this needs a GPU, the merge does not',
  ),
  ...lossSettings,
});

export type MergeInput = z.input<typeof mergeSettings>;
export type MergeKey = keyof typeof mergeSettings.shape;
export type MergeConfig = Omit<z.output<typeof mergeSettings>, 'max_shard_size'> & { readonly maxShardBytes: number };

/**
 * Checks settings and fills in defaults. `whereOf` names the source of a setting in messages.
 * @throws ConfigError with all that is wrong, and with `found` before it
 */
export function checkMergeSettings(
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[] = [],
): MergeConfig {
  const { max_shard_size, ...config } = checkedSettings(mergeSettings, given, whereOf, found);
  const unused = unusedDatasetSettings(config, given, whereOf, Object.keys(lossSettings));
  if (unused.length > 0) throw new ConfigError(unused);
  return { ...config, maxShardBytes: bytesOfSize(max_shard_size) };
}
