/** The settings of `nibble quantize`: those of a QLoRA run under the same names, and what only a written checkpoint has. */
import { z } from 'zod';
import { inWords, schemaOf, typeProblems } from '../../config/describe.ts';
import { settings } from '../../config/settings.ts';
import { valueOfText } from '../../config/text-value.ts';
import { ConfigError } from '../../errors.ts';

const SIZE = /^(\d+(?:\.\d+)?)\s*([KMGT]B)$/i;
const UNIT_BYTES: Readonly<Record<string, number>> = { KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

const quantizeSettings = z.strictObject({
  bnb_4bit_quant_type: settings.shape.bnb_4bit_quant_type,
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
  max_shard_size: z
    .union([z.int().min(1), z.string().regex(SIZE)])
    .default('50GB')
    .describe('most bytes in a weight file, such as 5GB or 500MB (a KB is 1000 bytes)'),
});

export type QuantizeConfig = Omit<z.output<typeof quantizeSettings>, 'max_shard_size'> & {
  readonly maxShardBytes: number;
};
export type QuantizeKey = keyof typeof quantizeSettings.shape;

/** A flag, its argument and its help, for each setting. */
export function quantizeFlags(): { readonly flag: string; readonly help: string }[] {
  return Object.entries(quantizeSettings.shape).map(([key, type]) => {
    const schema = schemaOf(type);
    const argument = schema.type === 'boolean' ? '[true|false]' : '<value>';
    const wanted = key === 'max_shard_size' ? 'a size' : inWords(schema);
    return {
      flag: `--${key} ${argument}`,
      help: `${schema.description} (${wanted}; default ${JSON.stringify(schema.default)})`,
    };
  });
}

/** The settings among parsed options. @throws ConfigError with every value that does not fit */
export function readQuantizeConfig(options: Readonly<Record<string, unknown>>): QuantizeConfig {
  const given = Object.entries(quantizeSettings.shape).flatMap(([key, type]) =>
    options[key] === undefined ? [] : [[key, valueOfText(String(options[key]), type)] as const],
  );
  const problems = given.flatMap(([key, value]) =>
    typeProblems(quantizeSettings.shape[key as QuantizeKey], value, key, () => `--${key}`),
  );
  if (problems.length > 0) throw new ConfigError(problems);
  const { max_shard_size, ...config } = quantizeSettings.parse(Object.fromEntries(given));
  return { ...config, maxShardBytes: bytesOf(max_shard_size) };
}

function bytesOf(size: string | number): number {
  if (typeof size === 'number') return size;
  const [, count, unit] = SIZE.exec(size) as RegExpExecArray;
  return Math.floor(Number(count) * (UNIT_BYTES[(unit as string).toUpperCase()] as number));
}
