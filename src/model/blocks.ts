/** What the layers of many architectures have in common: the usual modules, and sub-layers composed of ops. */
import type { ModelConfig } from '../formats/hf-config.ts';
import type { LinearModule, Module, NormModule } from '../formats/modules.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Architecture, Layer, Model } from './model.ts';
import { attention } from './ops/attention.ts';
import { type OpContext, operandDtype } from './ops/context.ts';
import { addResidual, gatedUnit, rmsNorm } from './ops/elementwise.ts';
import { linear } from './ops/linear.ts';

/** x (T, C) -> what is added to the residual stream (T, C). */
export type SubLayer = (ctx: OpContext, model: Model, layer: Layer, x: Tensor) => Tensor;
export type Biases = { readonly qkv: boolean; readonly o: boolean; readonly mlp: boolean };
type Projected = { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };

export const matrix = (name: string, out: number, width: number, bias = false): LinearModule => {
  return { kind: 'linear', name, out, in: width, bias };
};
export const normOf = (name: string, width: number): NormModule => ({ kind: 'norm', name, width });

/** Counts the rows of the query projection (Q) and of the key or value projection (KV). */
export function projectionRows({ num_attention_heads: H, num_key_value_heads: K, head_dim: D }: ModelConfig) {
  return { Q: H * D, KV: K * D };
}

/** Lists the projections of an attention: q, k, v and o. */
export function attentionModules(config: ModelConfig, biases: Biases): Module[] {
  const { hidden_size: C } = config;
  const { Q, KV } = projectionRows(config);
  return [
    matrix('self_attn.q_proj', Q, C, biases.qkv),
    matrix('self_attn.k_proj', KV, C, biases.qkv),
    matrix('self_attn.v_proj', KV, C, biases.qkv),
    matrix('self_attn.o_proj', C, Q, biases.o),
  ];
}

/** Lists the projections of a gated MLP: gate, up and down. */
export function mlpModules({ hidden_size: C, intermediate_size: F }: ModelConfig, bias: boolean): Module[] {
  return [matrix('mlp.gate_proj', F, C, bias), matrix('mlp.up_proj', F, C, bias), matrix('mlp.down_proj', C, F, bias)];
}

/** Lists the two norms of a pre-norm layer. */
export function preNormModules({ hidden_size: C }: ModelConfig): Module[] {
  return [normOf('input_layernorm', C), normOf('post_attention_layernorm', C)];
}

/** Builds a layer: h = x + attend(norm(x)), then h + feed(norm(h)). */
export function preNorm(attend: SubLayer, feed: SubLayer, normOffset = 0): Architecture['block'] {
  return (ctx, model, layer, x) => {
    const { rms_norm_eps, hidden_size } = model.config;
    const normed = (name: string, input: Tensor) =>
      rmsNorm(ctx, input, layer.norm(name), rms_norm_eps, normOffset, operandDtype(ctx, hidden_size));
    const mixed = attend(ctx, model, layer, normed('input_layernorm', x));
    const h = addResidual(ctx, `${layer.name}.attn_residual`, x, mixed);
    const fed = feed(ctx, model, layer, normed('post_attention_layernorm', h));
    return addResidual(ctx, `${layer.name}.mlp_residual`, h, fed);
  };
}

/** Attention with a projection each for q, k and v. */
export const selfAttention: SubLayer = (ctx, model, layer, x) => attend(ctx, model, layer, projectQkv(ctx, layer, x));

/** x (T, C) -> q (T, H*D), k and v (T, K*D), a projection each. */
export function projectQkv(ctx: OpContext, layer: Layer, x: Tensor): Projected {
  const project = (name: string) => linear(ctx, x, layer.linear(`self_attn.${name}`));
  return { q: project('q_proj'), k: project('k_proj'), v: project('v_proj') };
}

/** Rotary embedding where the layer has it, the cache where there is one, attention and o_proj. q and k are rotated in place. */
export function attend(ctx: OpContext, model: Model, layer: Layer, qkv: Projected): Tensor {
  const { config, rope } = model;
  const { num_attention_heads: H, num_key_value_heads: K, head_dim: D } = config;
  const turn = config.no_rope_layers[layer.index] === 1 ? rope : null;
  const window = config.layer_types[layer.index] === 'sliding_attention' ? config.sliding_window : null;
  const heads = { H, K, D, window, scale: 1 / Math.sqrt(D) };
  const mixed = attention(ctx, { label: layer.name, index: layer.index, heads, rope: turn }, qkv);
  return linear(ctx, mixed, layer.linear('self_attn.o_proj'));
}

/** down(act(gate x) * up x), with a projection each. */
export const gatedMlp: SubLayer = (ctx, model, layer, x) => {
  const project = (name: string) => linear(ctx, x, layer.linear(`mlp.${name}`));
  return gateAndProject(ctx, model, layer, project('gate_proj'), project('up_proj'));
};

/** gate and up (T, F) -> down(act(gate) * up) (T, C); the activation is the config's. */
export function gateAndProject(ctx: OpContext, model: Model, layer: Layer, gate: Tensor, up: Tensor): Tensor {
  const gated = gatedUnit(ctx, `${layer.name}.mlp`, model.config.hidden_act, gate, up);
  return linear(ctx, gated, layer.linear('mlp.down_proj'));
}
