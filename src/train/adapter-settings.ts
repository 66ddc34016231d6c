/**
 * Settings that an adapter decides when training continues with it: read from its adapter_config.json before the run
 * records them.
 */

import type { AdapterBase } from '../adapters/base.ts';
import { ADAPTER_CONFIG_FILE, type LoraConfig, readLoraConfig } from '../adapters/config.ts';
import { matchTargets } from '../adapters/match.ts';
import { adapterConfig, type ResolvedConfig, type TrainConfig, wasSet, withValues } from '../config/index.ts';
import { readModelConfig } from '../formats/hf-config.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { adapterBase } from '../model/adapter-base.ts';

/**
 * Takes rank, alpha, targets and scaling from the adapter; dropout too unless it was set, since it belongs to the
 * training and not to the weights. Without `adapter_name_or_path` the config comes back as it is.
 * @throws ConfigError for a setting that contradicts the adapter; DataError for an adapter_config.json that cannot be
 * read
 */
export async function withAdapterSettings(
  config: ResolvedConfig,
  readerOf: (directory: string) => FileReader,
): Promise<ResolvedConfig> {
  const { adapter_name_or_path: directory } = config.values;
  if (directory === null) return config;
  const reader = readerOf(directory);
  const lora = await readLoraConfig(reader);
  const model = await readModelConfig(readerOf(config.values.model_name_or_path));
  const base = adapterBase(model);
  const where = place(reader, ADAPTER_CONFIG_FILE);
  const facts = {
    lora_r: lora.r,
    lora_alpha: lora.lora_alpha,
    lora_target_modules: targetsOf(config, lora, base),
    exclude_modules: copied(lora.exclude_modules),
    layers_to_transform: copied(lora.layers_to_transform),
    layers_pattern: copied(lora.layers_pattern),
    rank_pattern: { ...lora.rank_pattern },
    alpha_pattern: { ...lora.alpha_pattern },
    use_rslora: lora.use_rslora,
    use_dora: lora.use_dora,
    bias: lora.bias,
    lora_bias: lora.lora_bias,
    trainable_token_indices: copiedTokens(lora.trainable_token_indices),
    lora_modules_to_save: lora.modules_to_save && [...lora.modules_to_save],
    ensure_weight_tying: lora.ensure_weight_tying,
  };
  const adapted = adapterConfig(config, facts, where);
  if (wasSet(config, 'lora_dropout')) return adapted;
  return withValues(adapted, { lora_dropout: lora.lora_dropout }, { source: 'adapter', where });
}

/** Keeps the user's wording where it names the adapter's modules (PEFT writes all-linear as a list). */
function targetsOf(config: ResolvedConfig, lora: LoraConfig, base: AdapterBase): TrainConfig['lora_target_modules'] {
  const wanted = config.values.lora_target_modules;
  const names = (target_modules: LoraConfig['target_modules']): string =>
    matchTargets({ ...lora, target_modules }, base, { strict: false })
      .map(({ name }) => name)
      .join();
  if (wasSet(config, 'lora_target_modules') && names(wanted) === names(lora.target_modules)) return wanted;
  return copied(lora.target_modules);
}

/** Copies a list, since settings may be changed by whoever reads them. */
function copied<T extends string | number>(value: readonly T[] | T | null): T[] | T | null {
  return value === null || typeof value !== 'object' ? value : [...value];
}

function copiedTokens(indices: LoraConfig['trainable_token_indices']): TrainConfig['trainable_token_indices'] {
  if (indices === null) return null;
  if (Array.isArray(indices)) return [...indices];
  return Object.fromEntries(Object.entries(indices).map(([module, ids]) => [module, [...ids]]));
}
