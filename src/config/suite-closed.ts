/** The closed division: arms differ in the method alone. */
import type { ConfigProblem } from '../errors.ts';
import { showSetting } from './describe.ts';
import type { ResolvedConfig } from './load.ts';
import { type SettingKey, settingKeys } from './settings.ts';

type NamedConfig = { readonly name: string; readonly config: ResolvedConfig };

/** What arms of a closed division may differ in: how the base is stored and what is trained. */
const CLOSED_MAY_DIFFER: readonly SettingKey[] = [
  'method',
  'load_in_4bit',
  'dtype',
  'llm_int8_skip_modules',
  'bnb_4bit_quant_type',
  'bnb_4bit_use_double_quant',
  'bnb_4bit_quant_storage',
  'bnb_4bit_blocksize',
];

/** Names each setting in which an arm departs from the first, and must not. */
export function closedDifferences([first, ...others]: readonly NamedConfig[]): ConfigProblem[] {
  if (first === undefined) return [];
  // the dtype that was asked for, because fresh adapters are rounded to it
  const asked = ({ values }: ResolvedConfig, key: SettingKey): unknown =>
    values[key === 'compute_dtype' ? 'requested_compute_dtype' : key];
  const whole = (config: ResolvedConfig, key: SettingKey): string => JSON.stringify(asked(config, key));
  return others.flatMap(({ name, config }) =>
    settingKeys
      .filter((key) => !CLOSED_MAY_DIFFER.includes(key) && key !== 'bnb_4bit_compute_dtype')
      .filter((key) => whole(config, key) !== whole(first.config, key))
      .map((key) => ({
        path: `arms.${name}.${key}`,
        message:
          `${showSetting(asked(config, key))} differs from ${showSetting(asked(first.config, key))} in arm ${first.name}; arms of a closed ` +
          `division train alike: move the setting to base, or write division: open (${config.origins[key].where})`,
      })),
  );
}
