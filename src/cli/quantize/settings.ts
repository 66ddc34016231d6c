/** The settings of `nibble quantize` as flags. */

import { inWords, schemaOf } from '../../config/describe.ts';
import { checkQuantizeSettings, type QuantizeConfig, type QuantizeKey, quantizeSettings } from '../../config/index.ts';
import { valueOfText } from '../../config/text-value.ts';

/** Lists flag, argument and help of each setting. */
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

/** Reads the settings among parsed options. @throws ConfigError with every value that does not fit */
export function readQuantizeConfig(options: Readonly<Record<string, unknown>>): QuantizeConfig {
  const given = Object.entries(quantizeSettings.shape).flatMap(([key, type]) =>
    options[key] === undefined ? [] : [[key as QuantizeKey, valueOfText(String(options[key]), type)] as const],
  );
  return checkQuantizeSettings(Object.fromEntries(given), (key) => `--${key}`);
}
