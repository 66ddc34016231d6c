/** OLMo 2 (transformers' Olmo2ForCausalLM): norms after attention and MLP instead of before, and of all of q and of k. */

import type { Tensor } from '../gpu/tensor.ts';
import { attend, attentionModules, gatedMlp, mlpModules, normOf, projectionRows, projectQkv } from './blocks.ts';
import type { Architecture } from './model.ts';
import { addResidual, rmsNorm } from './ops/elementwise.ts';

export const OLMO2: Architecture = {
  layerModules: (config) => {
    const { attention_bias: bias, hidden_size: C } = config;
    const { Q, KV } = projectionRows(config);
    return [
      ...attentionModules(config, { qkv: bias, o: bias, mlp: false }),
      normOf('self_attn.q_norm', Q),
      normOf('self_attn.k_norm', KV),
      ...mlpModules(config, false),
      normOf('post_attention_layernorm', C),
      normOf('post_feedforward_layernorm', C),
    ];
  },
  block: (ctx, model, layer, x) => {
    const norm = (name: string, y: Tensor) => rmsNorm(ctx, y, layer.norm(name), model.config.rms_norm_eps);
    const { q, k, v } = projectQkv(ctx, layer, x);
    const normed = { q: norm('self_attn.q_norm', q), k: norm('self_attn.k_norm', k), v };
    const mixed = norm('post_attention_layernorm', attend(ctx, model, layer, normed));
    const h = addResidual(ctx, `${layer.name}.attn_residual`, x, mixed);
    const fed = norm('post_feedforward_layernorm', gatedMlp(ctx, model, layer, h));
    return addResidual(ctx, `${layer.name}.mlp_residual`, h, fed);
  },
};
