/** Settings that people train adapters with, for an estimate of a model of which nobody has said how it is to be trained. */
import { type ResolvedConfig, type SettingKey, type TrainSettings, wasSet } from '../config/index.ts';

/**
 * One row of 2,048 tokens at a time, as Axolotl's and Unsloth's examples have it; rank 16 with alpha 32 on every linear layer, which
 * QLoRA's authors found it takes; activations computed again; products in 16 bits.
 */
export const USUAL = {
  per_device_train_batch_size: 1,
  max_length: 2048,
  lora_r: 16,
  lora_alpha: 32,
  lora_target_modules: 'all-linear',
  gradient_checkpointing: true,
  compute_dtype: 'bfloat16',
} as const satisfies TrainSettings;

/** The usual settings, but for those that an adapter which is trained on brings along. */
export function usualSettings(adapter: string | null | undefined): TrainSettings {
  if (adapter === null || adapter === undefined) return USUAL;
  const { lora_r, lora_alpha, lora_target_modules, ...others } = USUAL;
  return others;
}

/** What of a configuration nobody set, with the value it has as a usual one. */
export function assumedSettings(config: ResolvedConfig): Partial<Record<SettingKey, unknown>> {
  const { values, origins } = config;
  // mixed precision decides over a compute dtype
  const isMixed = wasSet(config, 'bf16') || wasSet(config, 'fp16');
  const keys = (Object.keys(USUAL) as SettingKey[]).filter(
    (key) => origins[key].where === 'usual' && !(key === 'compute_dtype' && isMixed),
  );
  return Object.fromEntries(keys.map((key) => [key, values[key]]));
}
