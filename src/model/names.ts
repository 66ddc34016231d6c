/** Module and tensor names of a Llama checkpoint, in the order in which PyTorch walks the modules. */
import type { ModelConfig } from '../formats/hf-config.ts';

export const EMBEDDING = 'model.embed_tokens';
export const FINAL_NORM = 'model.norm';
export const HEAD = 'lm_head';

export type LinearShape = { readonly name: string; readonly out: number; readonly in: number };

/** Linear modules of layer `i`: q, k, v, o, gate, up, down. */
export function layerLinears(config: ModelConfig, i: number): LinearShape[] {
  const C = config.hidden_size;
  const F = config.intermediate_size;
  const Q = config.num_attention_heads * config.head_dim;
  const KV = config.num_key_value_heads * config.head_dim;
  const at = (name: string, out: number, inFeatures: number): LinearShape => ({
    name: `model.layers.${i}.${name}`,
    out,
    in: inFeatures,
  });
  return [
    at('self_attn.q_proj', Q, C),
    at('self_attn.k_proj', KV, C),
    at('self_attn.v_proj', KV, C),
    at('self_attn.o_proj', C, Q),
    at('mlp.gate_proj', F, C),
    at('mlp.up_proj', F, C),
    at('mlp.down_proj', C, F),
  ];
}

/** All linear modules that a quantized base quantizes: every one but the output head. */
export function allLinears(config: ModelConfig): LinearShape[] {
  return Array.from({ length: config.num_hidden_layers }, (_, i) => layerLinears(config, i)).flat();
}

/** RMSNorm modules of layer `i`. */
export function layerNorms(i: number): [string, string] {
  return [`model.layers.${i}.input_layernorm`, `model.layers.${i}.post_attention_layernorm`];
}

/** Parameters of the model as published: a tied head counts once. */
export function parameterCount(config: ModelConfig): number {
  const linears = allLinears(config).reduce((sum, l) => sum + l.out * l.in, 0);
  const tables = config.vocab_size * config.hidden_size * (config.tie_word_embeddings ? 1 : 2);
  return linears + tables + (2 * config.num_hidden_layers + 1) * config.hidden_size;
}
