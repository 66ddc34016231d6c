/** Continues a PEFT adapter: its adapter_config.json decides rank, alpha, targets and scaling. */
import { ConfigError } from '../errors.ts';
import { showSetting } from './describe.ts';
import { type ResolvedConfig, wasSet, withValues } from './load.ts';
import type { SettingKey, TrainConfig } from './settings.ts';

/** Settings that an adapter_config.json decides. */
export type AdapterFacts = Pick<
  TrainConfig,
  | 'lora_r'
  | 'lora_alpha'
  | 'lora_target_modules'
  | 'exclude_modules'
  | 'layers_to_transform'
  | 'layers_pattern'
  | 'rank_pattern'
  | 'alpha_pattern'
  | 'use_rslora'
  | 'use_dora'
  | 'bias'
  | 'lora_modules_to_save'
  | 'ensure_weight_tying'
>;

/**
 * Puts the adapter's own settings into a configuration; `where` names its adapter_config.json.
 * @throws ConfigError naming every setting that somebody set to something else.
 */
export function adapterConfig(config: ResolvedConfig, facts: AdapterFacts, where: string): ResolvedConfig {
  const differs = (Object.keys(facts) as (keyof AdapterFacts)[]).filter(
    (key) => wasSet(config, key) && canonical(config.values[key]) !== canonical(facts[key]),
  );
  if (differs.length > 0)
    throw new ConfigError(
      differs.map((key: SettingKey & keyof AdapterFacts) => ({
        path: key,
        message:
          `got ${showSetting(config.values[key])}, but the adapter to go on with has ${showSetting(facts[key])} (${where}); ` +
          `remove the setting (${config.origins[key].where})`,
      })),
    );
  return withValues(config, facts, { source: 'adapter', where });
}

// target modules are a set, which PEFT writes in any order
const canonical = (value: unknown): string => JSON.stringify(Array.isArray(value) ? [...value].sort() : value);
