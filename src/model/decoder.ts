/** A decoder of any architecture: embedding, its layers, the final norm, and the loss of the head. */
import type { Tensor } from '../gpu/tensor.ts';
import { ARCHITECTURES } from './architectures.ts';
import type { Model } from './model.ts';
import type { OpContext } from './ops/context.ts';
import { crossEntropy, headLogits, type LossTensors } from './ops/cross-entropy.ts';
import { keepHalf, rmsNorm } from './ops/elementwise.ts';
import { embed, pickRows } from './ops/embedding.ts';

/** ids (B*S) u32 -> the normed hidden states (B*S, C) that the head reads. */
export function decoderHidden(ctx: OpContext, model: Model, ids: Tensor): Tensor {
  const { block, normOffset, embeddingScale } = ARCHITECTURES[model.config.architecture];
  let h = embed(ctx, ids, model.embed, embeddingScale?.(model.config));
  for (const layer of model.layers) {
    const segment = (x: Tensor): Tensor => block(ctx, model, layer, x);
    const keep = ctx.keptInputs === 'f16' && ctx.phase === 'train' ? (x: Tensor) => keepHalf(ctx, x) : undefined;
    h = (ctx.checkpointing ?? 'off') === 'off' ? segment(h) : ctx.tape.checkpoint(h, segment, keep);
  }
  return rmsNorm(ctx, h, model.norm, model.config.rms_norm_eps, normOffset);
}

/** Row losses of a batch; with `backward`, also the gradients of everything trainable. */
export function decoderLoss(ctx: OpContext, model: Model, ids: Tensor, loss: LossTensors, backward: boolean): void {
  const hidden = decoderHidden(ctx, model, ids);
  crossEntropy(ctx, hidden, model.head, loss, backward);
  if (backward) ctx.tape.backward();
}

/** Rows of a batch: `rows` of them from `row0` on, or those whose numbers `picks` (u32) holds when the phase runs. */
export type WantedRows =
  | { readonly row0: number; readonly rows: number }
  | { readonly picks: Tensor; readonly rows: number };

/**
 * Logits (rows, V) of some rows of the batch, all at once: what follows each of these tokens.
 * @param logits where they go; a planned tensor where absent
 */
export function decoderLogits(
  ctx: OpContext,
  model: Model,
  ids: Tensor,
  wanted: WantedRows,
  logits = ctx.tape.tensor('logits', [wanted.rows, model.head.weight.out], { category: 'logits' }),
): Tensor {
  return rowLogits(ctx, model, decoderHidden(ctx, model, ids), wanted, logits);
}

/** Logits (rows, V) of some rows of the normed hidden states (T, C). */
export function rowLogits(ctx: OpContext, model: Model, hidden: Tensor, wanted: WantedRows, logits: Tensor): Tensor {
  const { hidden_size } = model.config;
  const x =
    'picks' in wanted ? pickRows(ctx, hidden, wanted.picks, hidden_size) : hidden.rows(wanted.row0, wanted.rows);
  headLogits(ctx, x, model.head, logits);
  return logits;
}
