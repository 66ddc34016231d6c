/** The settings of a quantized checkpoint: those of a QLoRA run under the same names, and what only files have. */
import { z } from 'zod';
import type { ConfigProblem } from '../errors.ts';
import { bytesOfSize, sizeType } from './bytes.ts';
import { checkedSettings } from './checked-settings.ts';
import { settings } from './settings.ts';

export const quantizeSettings = z.strictObject({
  model_revision: settings.shape.model_revision,
  offline: settings.shape.offline,
  bnb_4bit_quant_type: z.enum(['nf4', 'fp4']).default('nf4').describe('4-bit code of the weights'),
  bnb_4bit_use_double_quant: settings.shape.bnb_4bit_use_double_quant,
  bnb_4bit_blocksize: settings.shape.bnb_4bit_blocksize,
  bnb_4bit_quant_storage: z
    .enum(['uint8', 'bfloat16', 'float16', 'float32'])
    .default('uint8')
    .describe('dtype the packed nibbles are stored as; the bytes are the same'),
  bnb_4bit_compute_dtype: z
    .enum(['float32', 'float16', 'bfloat16'])
    .default('float32')
    .describe('recorded in config.json: what transformers will compute in'),
  llm_int8_skip_modules: settings.shape.llm_int8_skip_modules.describe(
    'modules kept as they are; null keeps lm_head, a list replaces that',
  ),
  dtype: z
    .enum(['auto', 'float32', 'float16', 'bfloat16'])
    .default('auto')
    .describe("what the weights are converted to first; auto keeps the checkpoint's own"),
  max_shard_size: sizeType
    .default('50GB')
    .describe('most bytes in a weight file, such as 5GB or 500MB (a KB is 1000 bytes, a KiB 1024)'),
});

/** The settings as a program writes them; what is left out takes its default. */
export type QuantizeInput = z.input<typeof quantizeSettings>;
export type QuantizeKey = keyof typeof quantizeSettings.shape;
export type QuantizeConfig = Omit<z.output<typeof quantizeSettings>, 'max_shard_size'> & {
  readonly maxShardBytes: number;
};

/**
 * Checks settings and fills in defaults. `whereOf` names the source of a setting in messages: its flag, or the options.
 * @throws ConfigError with every name that is unknown and every value that does not fit, and with `found` before them
 */
export function checkQuantizeSettings(
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[] = [],
): QuantizeConfig {
  const { max_shard_size, ...config } = checkedSettings(quantizeSettings, given, whereOf, found);
  return { ...config, maxShardBytes: bytesOfSize(max_shard_size) };
}
