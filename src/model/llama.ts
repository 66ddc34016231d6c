/** Llama as calls of ops (transformers' LlamaForCausalLM): pre-norm blocks, rotary grouped-query attention, SwiGLU. */
import type { ModelConfig } from '../formats/hf-config.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { applyRope, attention, type RopeTables } from './ops/attention.ts';
import type { OpContext } from './ops/context.ts';
import { crossEntropy, type LossTensors } from './ops/cross-entropy.ts';
import { addResidual, rmsNorm, swiglu } from './ops/elementwise.ts';
import { embed } from './ops/embedding.ts';
import { type LinearLayer, linear } from './ops/linear.ts';
import type { DenseWeight } from './weight.ts';

export type LlamaLayer = {
  readonly name: string;
  readonly input_layernorm: Tensor;
  readonly q: LinearLayer;
  readonly k: LinearLayer;
  readonly v: LinearLayer;
  readonly o: LinearLayer;
  readonly post_attention_layernorm: Tensor;
  readonly gate: LinearLayer;
  readonly up: LinearLayer;
  readonly down: LinearLayer;
};

export type LlamaModel = {
  readonly config: ModelConfig;
  readonly embed: DenseWeight;
  readonly layers: readonly LlamaLayer[];
  readonly norm: Tensor;
  readonly head: DenseWeight;
  readonly rope: RopeTables;
};

/** ids (B*S) u32 -> the normed hidden states (B*S, C) that the head reads. */
export function llamaHidden(ctx: OpContext, model: LlamaModel, ids: Tensor): Tensor {
  let h = embed(ctx, ids, model.embed);
  for (const layer of model.layers) h = block(ctx, model, layer, h);
  return rmsNorm(ctx, h, model.norm, model.config.rms_norm_eps);
}

/** Row losses of a batch; with `backward`, also the gradients of everything trainable. */
export function llamaLoss(ctx: OpContext, model: LlamaModel, ids: Tensor, loss: LossTensors, backward: boolean): void {
  const hidden = llamaHidden(ctx, model, ids);
  crossEntropy(ctx, hidden, model.head, loss, backward);
  if (backward) ctx.tape.backward();
}

function block(ctx: OpContext, model: LlamaModel, layer: LlamaLayer, x: Tensor): Tensor {
  const { num_attention_heads: H, num_key_value_heads: K, head_dim: D, rms_norm_eps: eps } = model.config;
  const normed = rmsNorm(ctx, x, layer.input_layernorm, eps);
  const q = linear(ctx, normed, layer.q);
  const k = linear(ctx, normed, layer.k);
  const v = linear(ctx, normed, layer.v);
  applyRope(ctx, q, model.rope, H, D);
  applyRope(ctx, k, model.rope, K, D);
  const mixed = attention(ctx, layer.name, { q, k, v }, { H, K, D });
  const h = addResidual(ctx, `${layer.name}.attn_residual`, x, linear(ctx, mixed, layer.o));
  const normed2 = rmsNorm(ctx, h, layer.post_attention_layernorm, eps);
  const hidden = swiglu(ctx, `${layer.name}.mlp`, linear(ctx, normed2, layer.gate), linear(ctx, normed2, layer.up));
  return addResidual(ctx, `${layer.name}.mlp_residual`, h, linear(ctx, hidden, layer.down));
}
