/** The settings of `nibble quantize` as flags. */
import { checkQuantizeSettings, type QuantizeConfig, quantizeSettings } from '../../config/index.ts';
import { shapeFlags, shapeValues } from '../shared/shape-flags.ts';

/** Lists flag, argument and help of each setting. */
export function quantizeFlags(): { readonly flag: string; readonly help: string }[] {
  return shapeFlags(quantizeSettings.shape, { max_shard_size: 'a size' });
}

/** Reads the settings among parsed options. @throws ConfigError with every value that does not fit */
export function readQuantizeConfig(options: Readonly<Record<string, unknown>>): QuantizeConfig {
  return checkQuantizeSettings(shapeValues(quantizeSettings.shape, options), (key) => `--${key}`);
}
