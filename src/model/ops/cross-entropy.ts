/** lm_head and cross-entropy in chunks of token rows: the logits of all tokens never exist at once. */
import type { Tensor } from '../../gpu/tensor.ts';
import { XENT_PARTS, type Xent, xentBwd, xentFwd, xentHit } from '../../kernels/xent.ts';
import type { OpContext } from './context.ts';
import { isTrained, type LinearLayer, layerNorms, linearBackward, linearForward } from './linear.ts';

/** Most bytes that a chunk of f32 logits takes. */
const LOGITS_BUDGET_BYTES = 64 * 2 ** 20;
/** Most bytes of the head that are widened at once, where its stored dtype is not the compute dtype. */
export const HEAD_SCRATCH_BYTES = 64 * 2 ** 20;
/** A chunk starts where a binding may: rows of f32 in multiples of this always do. */
const ROW_GRANULE = 64;

export type LossTensors = {
  /** (T) i32: the target of each position, -100 for none. */
  readonly labels: Tensor;
  /** (T) f32, out: cross-entropy of each position, 0 where it has no target. */
  readonly rowLoss: Tensor;
  /** (T) u32, out: 1 where the target has the largest logit of its position; left out, nobody asks. */
  readonly hit?: Tensor;
};

/**
 * Row losses of x (T, C) against the labels. With `backward`, dX is produced in the same pass, scaled by
 * 1 / (loss tokens of the optimizer step), so that backward finds it ready.
 */
export function crossEntropy(ctx: OpContext, x: Tensor, head: LinearLayer, loss: LossTensors, backward: boolean): void {
  const { tape } = ctx;
  const { weight } = head;
  const T = ctx.B * ctx.S;
  const rowsPerChunk = chunkRows(ctx, T, weight.out);
  const target = backward && x.requiresGrad ? tape.gradTarget(x) : null;
  const norm = layerNorms(ctx, head, HEAD_SCRATCH_BYTES);
  for (let row0 = 0; row0 < T; row0 += rowsPerChunk) {
    const count = Math.min(rowsPerChunk, T - row0);
    const rows = {
      x: x.rows(row0, count),
      T: count,
      weight,
      chunk: row0 / rowsPerChunk,
      scratchBudget: HEAD_SCRATCH_BYTES,
    };
    const logits = tape.tensor(`logits[${row0}]`, [count, weight.out], { category: 'logits' });
    const saved = linearForward(ctx, rows, head, norm, logits);
    const call = xentCall(ctx, { rows: count, row0, logits }, loss);
    xentFwd(tape, call);
    if (loss.hit !== undefined) xentHit(tape, call, loss.hit);
    if (!backward || (target === null && !isTrained(head))) continue;
    xentBwd(tape, call);
    // by now the logits hold their own gradient
    const dx = target && { grad: target.grad.rows(row0, count), accumulate: target.accumulate };
    linearBackward(ctx, rows, head, saved, logits, dx);
  }
}

/** logits (rows, V) of x (rows, C), all at once. */
export function headLogits(ctx: OpContext, x: Tensor, head: LinearLayer, logits: Tensor): void {
  const rows = { x, T: x.elements / head.weight.in, weight: head.weight, chunk: 0, scratchBudget: HEAD_SCRATCH_BYTES };
  linearForward(ctx, rows, head, layerNorms(ctx, head, HEAD_SCRATCH_BYTES), logits);
}

function xentCall(
  { tape }: OpContext,
  chunk: { readonly rows: number; readonly row0: number; readonly logits: Tensor },
  { labels: targets, rowLoss }: LossTensors,
): Xent {
  const { rows, logits } = chunk;
  const workspace = (label: string, width: number) => tape.tensor(label, [rows, width], { category: 'workspace' });
  return {
    ...chunk,
    V: logits.elements / rows,
    targets,
    rowLoss,
    peak: workspace('xent.peak', XENT_PARTS),
    total: workspace('xent.total', XENT_PARTS),
    lse: workspace('xent.lse', 1),
  };
}

function chunkRows({ tape }: OpContext, T: number, V: number): number {
  const budget = Math.min(LOGITS_BUDGET_BYTES, tape.profile.limits.maxStorageBufferBindingSize);
  const rows = Math.floor(budget / (4 * V) / ROW_GRANULE) * ROW_GRANULE;
  return Math.min(T, Math.max(rows, ROW_GRANULE));
}
