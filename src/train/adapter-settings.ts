/** Going on with an adapter: the settings it decides, read from its adapter_config.json before the run records them. */
import { adapterConfig, type ResolvedConfig, type TrainConfig, wasSet, withValues } from '../config/index.ts';
import { readModelConfig } from '../formats/hf-config.ts';
import { ADAPTER_CONFIG_FILE, type LoraConfig, readLoraConfig } from '../formats/peft-config.ts';
import { DEFAULT_TARGETS, matchTargets } from '../formats/peft-match.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { allLinears } from '../model/modules.ts';

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
  const linear = allLinears(model).map(({ name }) => name);
  const where = place(reader, ADAPTER_CONFIG_FILE);
  const facts = {
    lora_r: lora.r,
    lora_alpha: lora.lora_alpha,
    lora_target_modules: targetsOf(config, lora, linear),
    use_rslora: lora.use_rslora,
  };
  const adapted = adapterConfig(config, facts, where);
  if (wasSet(config, 'lora_dropout')) return adapted;
  return withValues(adapted, { lora_dropout: lora.lora_dropout }, { source: 'adapter', where });
}

/** The adapter's targets; in the user's words where those name the same modules (PEFT writes all-linear as a list). */
function targetsOf(
  config: ResolvedConfig,
  lora: LoraConfig,
  linear: readonly string[],
): TrainConfig['lora_target_modules'] {
  const wanted = config.values.lora_target_modules;
  const names = (target_modules: LoraConfig['target_modules']): string =>
    matchTargets({ ...lora, target_modules }, linear)
      .map(({ name }) => name)
      .join();
  const own = lora.target_modules ?? DEFAULT_TARGETS;
  if (wasSet(config, 'lora_target_modules') && names(wanted) === names(own)) return wanted;
  return typeof own === 'string' ? own : [...own];
}
