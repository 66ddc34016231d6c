/** A decoder of any architecture: embedding, its layers, the final norm, and the loss of the head. */
import type { Tensor } from '../gpu/tensor.ts';
import { ARCHITECTURES } from './architectures.ts';
import type { Model } from './model.ts';
import type { OpContext } from './ops/context.ts';
import { crossEntropy, type LossTensors } from './ops/cross-entropy.ts';
import { rmsNorm } from './ops/elementwise.ts';
import { embed } from './ops/embedding.ts';

/** ids (B*S) u32 -> the normed hidden states (B*S, C) that the head reads. */
export function decoderHidden(ctx: OpContext, model: Model, ids: Tensor): Tensor {
  const { block, normOffset, embeddingScale } = ARCHITECTURES[model.config.architecture];
  let h = embed(ctx, ids, model.embed, embeddingScale?.(model.config));
  for (const layer of model.layers) {
    const segment = (x: Tensor): Tensor => block(ctx, model, layer, x);
    h = (ctx.checkpointing ?? 'off') === 'off' ? segment(h) : ctx.tape.checkpoint(h, segment);
  }
  return rmsNorm(ctx, h, model.norm, model.config.rms_norm_eps, normOffset);
}

/** Row losses of a batch; with `backward`, also the gradients of everything trainable. */
export function decoderLoss(ctx: OpContext, model: Model, ids: Tensor, loss: LossTensors, backward: boolean): void {
  const hidden = decoderHidden(ctx, model, ids);
  crossEntropy(ctx, hidden, model.head, loss, backward);
  if (backward) ctx.tape.backward();
}
