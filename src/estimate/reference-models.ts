/** Published model shapes, for estimates and for runs that measure speed and memory. */
import { type ModelConfig, parseModelConfig } from '../formats/hf-config.ts';
import type { JsonObject } from '../formats/json.ts';

type Shape = Pick<
  ModelConfig,
  | 'vocab_size'
  | 'hidden_size'
  | 'intermediate_size'
  | 'num_hidden_layers'
  | 'num_attention_heads'
  | 'num_key_value_heads'
> & {
  readonly max_position_embeddings: number;
  readonly tie_word_embeddings?: boolean;
  readonly head_dim?: number;
};

/** Figures of each config.json as published. */
export const REFERENCE_MODELS: Readonly<Record<string, Shape>> = {
  'SmolLM2-135M': {
    vocab_size: 49_152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
  },
  'TinyLlama-1.1B': {
    vocab_size: 32_000,
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 22,
    num_attention_heads: 32,
    num_key_value_heads: 4,
    max_position_embeddings: 2048,
  },
  'Llama-3.2-1B': {
    vocab_size: 128_256,
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    head_dim: 64,
    tie_word_embeddings: true,
  },
  'Llama-3.2-3B': {
    vocab_size: 128_256,
    hidden_size: 3072,
    intermediate_size: 8192,
    num_hidden_layers: 28,
    num_attention_heads: 24,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    head_dim: 128,
    tie_word_embeddings: true,
  },
  'Mistral-7B': {
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 32_768,
  },
  'Llama-3.1-8B': {
    vocab_size: 128_256,
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
  },
  'Llama-3.1-70B': {
    vocab_size: 128_256,
    hidden_size: 8192,
    intermediate_size: 28_672,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
  },
  'Llama-2-7B': {
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    max_position_embeddings: 4096,
  },
  'Llama-2-13B': {
    vocab_size: 32_000,
    hidden_size: 5120,
    intermediate_size: 13_824,
    num_hidden_layers: 40,
    num_attention_heads: 40,
    num_key_value_heads: 40,
    max_position_embeddings: 4096,
  },
  'LLaMA-65B': {
    vocab_size: 32_000,
    hidden_size: 8192,
    intermediate_size: 22_016,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    num_key_value_heads: 64,
    max_position_embeddings: 2048,
  },
};

/** Makes a config.json of a published shape. The norm is Llama 2's; speed and memory do not depend on it. */
export function referenceConfig(name: string): JsonObject {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...REFERENCE_MODELS[name],
    rms_norm_eps: 1e-5,
    dtype: 'float16',
  };
}

/** Reads a published shape as if from its config.json. @throws DataError for an unknown name */
export function referenceModel(name: string): ModelConfig {
  return parseModelConfig(referenceConfig(name), name);
}
