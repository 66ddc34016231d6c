/** f64 forward of a whole Llama, composed of the references of its kernels: the loss whose differences are its gradients. */
import type { ModelConfig } from '../../src/formats/hf-config.ts';
import { ropeTables } from '../../src/formats/rope.ts';
import { attentionFwdRef } from './attention.ts';
import type { Vec } from './compare.ts';
import { addFwdRef, swigluFwdRef } from './elementwise.ts';
import { embeddingFwdRef } from './embedding.ts';
import { linearFwdRef } from './linear.ts';
import { rmsnormFwdRef } from './rmsnorm.ts';
import { ropeFwdRef } from './rope.ts';
import { IGNORED, xentFwdRef } from './xent.ts';

/** Weights by checkpoint name. A tied head reads the embedding. */
export type Weights = ReadonlyMap<string, Vec>;

/** Mean cross-entropy over the labels (B*S, shifted already) that count. */
export function llamaLossRef(
  config: ModelConfig,
  weights: Weights,
  B: number,
  S: number,
  ids: Vec,
  labels: Vec,
): number {
  const { hidden_size: C, intermediate_size: F, vocab_size: V, head_dim: D, rms_norm_eps: eps } = config;
  const { num_attention_heads: H, num_key_value_heads: K } = config;
  const T = B * S;
  const at = (name: string): Vec => {
    const found = weights.get(`${name}.weight`);
    if (found === undefined) throw new Error(`no weight ${name}`);
    return found;
  };
  const { cos, sin } = ropeTables(config, S);
  let h: Vec = embeddingFwdRef(ids, at('model.embed_tokens'), T, C);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const name = `model.layers.${i}`;
    const project = (module: string, x: Vec, out: number, width: number) =>
      linearFwdRef(x, at(`${name}.${module}`), T, out, width);
    const normed = rmsnormFwdRef(h, at(`${name}.input_layernorm`), T, C, eps).y;
    const rope = { T, S, D, cos, sin };
    const q = ropeFwdRef(project('self_attn.q_proj', normed, H * D, C), { ...rope, heads: H });
    const k = ropeFwdRef(project('self_attn.k_proj', normed, K * D, C), { ...rope, heads: K });
    const v = project('self_attn.v_proj', normed, K * D, C);
    const { o } = attentionFwdRef({ B, S, H, K, D, window: null, scale: 1 / Math.sqrt(D) }, q, k, v);
    h = addFwdRef(h, project('self_attn.o_proj', o, C, H * D));
    const normed2 = rmsnormFwdRef(h, at(`${name}.post_attention_layernorm`), T, C, eps).y;
    const hidden = swigluFwdRef(project('mlp.gate_proj', normed2, F, C), project('mlp.up_proj', normed2, F, C));
    h = addFwdRef(h, project('mlp.down_proj', hidden, C, F));
  }
  const final = rmsnormFwdRef(h, at('model.norm'), T, C, eps).y;
  const head = at(config.tie_word_embeddings ? 'model.embed_tokens' : 'lm_head');
  const losses = xentFwdRef(linearFwdRef(final, head, T, V, C), labels, T, V);
  let counted = 0;
  for (let t = 0; t < T; t++) if (labels[t] !== IGNORED) counted++;
  return losses.reduce((sum, l) => sum + l, 0) / counted;
}
