/** Estimates a suite's comparison at published Llama shapes, with one fixed batch. */
import type { TrainConfig } from '../config/settings.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import type { ScaleUp } from '../results/summary-schema.ts';
import { estimateModel } from './model.ts';
import { referenceModel } from './reference-models.ts';

/** Published models to estimate. */
const SCALED_TO = ['Llama-3.2-1B', 'Llama-2-7B', 'Llama-2-13B', 'LLaMA-65B'];
const TOKENS = 512;

/**
 * Estimates peak bytes of LoRA, QLoRA and full training at each size, with the adapter settings of `config`.
 * @throws ConfigError
 */
export async function scaleUp(
  config: TrainConfig,
  shaders: ShaderLibrary,
  profile: DeviceProfile = KNOWN_PROFILES.nvidia as DeviceProfile,
): Promise<ScaleUp> {
  const common: TrainConfig = {
    ...config,
    dtype: 'auto',
    compute_dtype: 'float16',
    per_device_train_batch_size: 1,
    max_length: TOKENS,
    eval_datasets: [],
    adapter_name_or_path: null,
  };
  const models = await Promise.all(
    SCALED_TO.map(async (name) => {
      const model = referenceModel(name);
      const predictions = [];
      let parameters = 0;
      for (const method of ['lora', 'qlora', 'full'] as const) {
        const load_in_4bit = method === 'qlora';
        const quantization = { load_in_4bit, bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true } as const;
        const estimate = await estimateModel(model, { ...common, ...quantization, method }, profile, shaders);
        if (method === 'full') parameters = estimate.allParams;
        predictions.push({ method, peak: estimate.peakBytes, by_category: estimate.byCategory });
      }
      return { name, num_total_params: parameters, predictions };
    }),
  );
  return { device_profile: profile.name, assumptions: assumptions(config), models };
}

function assumptions(config: TrainConfig): string[] {
  const targets = Array.isArray(config.lora_target_modules)
    ? config.lora_target_modules.join(', ')
    : (config.lora_target_modules ?? "PEFT's targets for the architecture");
  return [
    `batch 1, sequence length ${TOKENS}, no gradient checkpointing`,
    `LoRA rank ${config.lora_r} on ${targets}; adapters, gradients and Adam moments in float32`,
    'LoRA base in float16; QLoRA base in NF4 with double quantization, embeddings and head in float16',
    'full training with float32 weights, gradients and moments',
    'compute dtype float16 with a float32 residual stream; the buffers of nibble, without the driver’s own',
  ];
}
