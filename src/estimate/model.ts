/** Estimates a model from its config.json alone. */
import type { TrainConfig } from '../config/settings.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { modelLayout } from '../train/model-layout.ts';
import { longestRow } from '../train/packing.ts';
import { allowedBytes } from './allowed.ts';
import { estimateRun } from './estimate.ts';
import { settlePlan } from './settle.ts';
import type { Estimate } from './types.ts';

/**
 * Estimates full batches of max_length tokens, with evaluation batches where evaluation is configured.
 * @throws ConfigError, DeviceError
 */
export async function estimateModel(
  model: ModelConfig,
  config: TrainConfig,
  profile: DeviceProfile,
  shaders: ShaderLibrary,
): Promise<Estimate> {
  const S = longestRow(config, model);
  const evaluation =
    config.eval_datasets.length > 0 || config.val_set_size > 0 ? [{ B: config.per_device_eval_batch_size, S }] : [];
  // prompts are not read here: as long as a row, with the text after it
  const sample = config.eval_generate === null ? {} : { sample: S };
  const shapes = { train: [{ B: config.per_device_train_batch_size, S }], evaluation, ...sample };
  const layout = await modelLayout({ config, model, source: null, adapter: null, maxPositions: S });
  const settled = settlePlan(
    { config, layout, shapes, profile, shaders },
    allowedBytes(config) ?? Number.POSITIVE_INFINITY,
  );
  return estimateRun(layout, settled.config, shapes, profile, shaders);
}
