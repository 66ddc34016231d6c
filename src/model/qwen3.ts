/** Qwen3 (transformers' Qwen3ForCausalLM): Llama, with a norm of each head of q and k before the rotation. */
import {
  attend,
  attentionModules,
  gatedMlp,
  mlpModules,
  normOf,
  preNorm,
  preNormModules,
  projectQkv,
  type SubLayer,
} from './blocks.ts';
import type { Architecture } from './model.ts';
import { rmsNorm } from './ops/elementwise.ts';

const normedAttention: SubLayer = (ctx, model, layer, x) => {
  const { q, k, v } = projectQkv(ctx, layer, x);
  const eps = model.config.rms_norm_eps;
  return attend(ctx, model, layer, {
    q: rmsNorm(ctx, q, layer.norm('self_attn.q_norm'), eps),
    k: rmsNorm(ctx, k, layer.norm('self_attn.k_norm'), eps),
    v,
  });
};

export const QWEN3: Architecture = {
  layerModules: (config) => {
    const { attention_bias: bias, head_dim } = config;
    return [
      ...attentionModules(config, { qkv: bias, o: bias, mlp: false }),
      normOf('self_attn.q_norm', head_dim),
      normOf('self_attn.k_norm', head_dim),
      ...mlpModules(config, false),
      ...preNormModules(config),
    ];
  },
  block: preNorm(normedAttention, gatedMlp),
};
