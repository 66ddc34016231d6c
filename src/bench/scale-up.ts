/** The same comparison at the sizes people ask about, from the estimate: published Llama shapes, one fixed batch. */
import type { TrainConfig } from '../config/settings.ts';
import { type ModelConfig, parseModelConfig } from '../formats/hf-config.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { estimateModel } from './estimate.ts';
import type { ScaleUp } from './summary-schema.ts';

type Shape = Pick<
  ModelConfig,
  | 'vocab_size'
  | 'hidden_size'
  | 'intermediate_size'
  | 'num_hidden_layers'
  | 'num_attention_heads'
  | 'num_key_value_heads'
> & {
  readonly tie_word_embeddings?: boolean;
  readonly head_dim?: number;
};

/** config.json figures of Llama-3.2-1B, Llama-2-7B, Llama-2-13B and LLaMA-65B as published. */
export const REFERENCE_MODELS: Readonly<Record<string, Shape>> = {
  'Llama-3.2-1B': {
    vocab_size: 128_256,
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 64,
    tie_word_embeddings: true,
  },
  'Llama-2-7B': {
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
  },
  'Llama-2-13B': {
    vocab_size: 32_000,
    hidden_size: 5120,
    intermediate_size: 13_824,
    num_hidden_layers: 40,
    num_attention_heads: 40,
    num_key_value_heads: 40,
  },
  'LLaMA-65B': {
    vocab_size: 32_000,
    hidden_size: 8192,
    intermediate_size: 22_016,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    num_key_value_heads: 64,
  },
};

export function referenceModel(name: string): ModelConfig {
  const shape = REFERENCE_MODELS[name];
  return parseModelConfig(
    {
      ...shape,
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      max_position_embeddings: 2048,
      dtype: 'float16',
    },
    name,
  );
}

const TOKENS = 512;

/** Peaks of LoRA, QLoRA and full training at each size, with the adapter settings of `config`. */
export async function scaleUp(
  config: TrainConfig,
  shaders: ShaderLibrary,
  profile: DeviceProfile = KNOWN_PROFILES.nvidia as DeviceProfile,
): Promise<ScaleUp> {
  const common: TrainConfig = {
    ...config,
    ...{ dtype: 'auto', compute_dtype: 'float16', per_device_train_batch_size: 1, max_length: TOKENS },
    ...{ eval_datasets: [], adapter_name_or_path: null },
  };
  const models = await Promise.all(
    Object.keys(REFERENCE_MODELS).map(async (name) => {
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
    : config.lora_target_modules;
  return [
    `batch 1, sequence length ${TOKENS}, no gradient checkpointing`,
    `LoRA rank ${config.lora_r} on ${targets}; adapters, gradients and Adam moments in float32`,
    'LoRA base in float16; QLoRA base in NF4 with double quantization, embeddings and head in float16',
    'full training with float32 weights, gradients and moments',
    'compute dtype float16 with a float32 residual stream; the buffers of nibble, without the driver’s own',
  ];
}
