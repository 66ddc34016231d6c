/** Going on with an adapter: the settings it decides, read from its adapter_config.json before the run records them. */

import type { AdapterBase } from '../adapters/base.ts';
import { ADAPTER_CONFIG_FILE, type LoraConfig, readLoraConfig } from '../adapters/config.ts';
import { matchTargets } from '../adapters/match.ts';
import { adapterConfig, type ResolvedConfig, type TrainConfig, wasSet, withValues } from '../config/index.ts';
import { readModelConfig } from '../formats/hf-config.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { adapterBase } from '../model/adapter-base.ts';

/**
 * Rank, alpha, targets and scaling are the adapter's; a setting that says otherwise is an error. Dropout is the adapter's
 * unless it was set: it belongs to the training, not to the weights.
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
    exclude_modules: spread(lora.exclude_modules),
    layers_to_transform: spread(lora.layers_to_transform),
    layers_pattern: spread(lora.layers_pattern),
    rank_pattern: { ...lora.rank_pattern },
    alpha_pattern: { ...lora.alpha_pattern },
    use_rslora: lora.use_rslora,
    use_dora: lora.use_dora,
    bias: lora.bias,
    lora_modules_to_save: lora.modules_to_save && [...lora.modules_to_save],
    ensure_weight_tying: lora.ensure_weight_tying,
  };
  const adapted = adapterConfig(config, facts, where);
  if (wasSet(config, 'lora_dropout')) return adapted;
  return withValues(adapted, { lora_dropout: lora.lora_dropout }, { source: 'adapter', where });
}

/** The adapter's targets; in the user's words where those name the same modules (PEFT writes all-linear as a list). */
function targetsOf(config: ResolvedConfig, lora: LoraConfig, base: AdapterBase): TrainConfig['lora_target_modules'] {
  const wanted = config.values.lora_target_modules;
  const names = (target_modules: LoraConfig['target_modules']): string =>
    matchTargets({ ...lora, target_modules }, base, { strict: false })
      .map(({ name }) => name)
      .join();
  if (wasSet(config, 'lora_target_modules') && names(wanted) === names(lora.target_modules)) return wanted;
  return spread(lora.target_modules);
}

/** Settings are the reader's to change: a list of its own. */
function spread<T extends string | number>(value: readonly T[] | T | null): T[] | T | null {
  return value === null || typeof value !== 'object' ? value : [...value];
}
