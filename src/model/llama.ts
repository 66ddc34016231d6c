/** Llama as calls of ops (transformers' LlamaForCausalLM): pre-norm blocks, rotary grouped-query attention, SwiGLU. */
import type { ModelConfig } from '../formats/hf-config.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Architecture, Layer, Model } from './model.ts';
import type { LinearModule, Module } from './modules.ts';
import { applyRope, attention } from './ops/attention.ts';
import type { OpContext } from './ops/context.ts';
import { addResidual, rmsNorm, swiglu } from './ops/elementwise.ts';
import { linear } from './ops/linear.ts';

export const LLAMA: Architecture = { layerModules, block };

function layerModules(config: ModelConfig): Module[] {
  const { hidden_size: C, intermediate_size: F, head_dim: D, attention_bias, mlp_bias } = config;
  const [Q, KV] = [config.num_attention_heads * D, config.num_key_value_heads * D];
  const matrix = (name: string, out: number, width: number, bias: boolean): LinearModule => {
    return { kind: 'linear', name, out, in: width, bias };
  };
  return [
    matrix('self_attn.q_proj', Q, C, attention_bias),
    matrix('self_attn.k_proj', KV, C, attention_bias),
    matrix('self_attn.v_proj', KV, C, attention_bias),
    matrix('self_attn.o_proj', C, Q, attention_bias),
    matrix('mlp.gate_proj', F, C, mlp_bias),
    matrix('mlp.up_proj', F, C, mlp_bias),
    matrix('mlp.down_proj', C, F, mlp_bias),
    { kind: 'norm', name: 'input_layernorm', width: C },
    { kind: 'norm', name: 'post_attention_layernorm', width: C },
  ];
}

function block(ctx: OpContext, model: Model, layer: Layer, x: Tensor): Tensor {
  const { num_attention_heads: H, num_key_value_heads: K, head_dim: D, rms_norm_eps: eps } = model.config;
  const project = (input: Tensor, name: string): Tensor => linear(ctx, input, layer.linear(name));
  const normed = rmsNorm(ctx, x, layer.norm('input_layernorm'), eps);
  const q = project(normed, 'self_attn.q_proj');
  const k = project(normed, 'self_attn.k_proj');
  const v = project(normed, 'self_attn.v_proj');
  applyRope(ctx, q, model.rope, H, D);
  applyRope(ctx, k, model.rope, K, D);
  const mixed = attention(ctx, layer.name, { q, k, v }, { H, K, D, window: null, scale: 1 / Math.sqrt(D) });
  const h = addResidual(ctx, `${layer.name}.attn_residual`, x, project(mixed, 'self_attn.o_proj'));
  const normed2 = rmsNorm(ctx, h, layer.norm('post_attention_layernorm'), eps);
  const gated = swiglu(ctx, `${layer.name}.mlp`, project(normed2, 'mlp.gate_proj'), project(normed2, 'mlp.up_proj'));
  return addResidual(ctx, `${layer.name}.mlp_residual`, h, project(gated, 'mlp.down_proj'));
}
