/** lm_head and cross-entropy in chunks of token rows: the logits of all tokens never exist at once. */
import type { Tensor } from '../../gpu/tensor.ts';
import { matmulNn, matmulNt, matmulTn } from '../../kernels/matmul.ts';
import { XENT_PARTS, xentBwd, xentFwd } from '../../kernels/xent.ts';
import { type DenseWeight, isTrainable, materialize, shardsOf } from '../weight.ts';
import type { OpContext } from './context.ts';

/** Most bytes that a chunk of f32 logits takes. */
export const LOGITS_BUDGET_BYTES = 64 * 2 ** 20;
/** Most bytes of the head that are widened at once, where its stored dtype is not the compute dtype. */
export const HEAD_SCRATCH_BYTES = 64 * 2 ** 20;
/** A chunk starts where a binding may: rows of f32 in multiples of this always do. */
const ROW_GRANULE = 64;

export type LossTensors = {
  /** (T) i32: the target of each position, -100 for none. */
  readonly labels: Tensor;
  /** (T) f32, out: cross-entropy of each position, 0 where it has no target. */
  readonly rowLoss: Tensor;
};

/**
 * Row losses of x (T, C) against the labels. With `backward`, dX is produced in the same pass, scaled by
 * 1 / (loss tokens of the optimizer step), so that backward finds it ready.
 */
export function crossEntropy(ctx: OpContext, x: Tensor, head: DenseWeight, loss: LossTensors, backward: boolean): void {
  const T = ctx.B * ctx.S;
  const rowsPerChunk = chunkRows(ctx, T, head.out);
  const target = backward && x.requiresGrad ? ctx.tape.gradTarget(x) : null;
  for (let row0 = 0; row0 < T; row0 += rowsPerChunk) {
    const rows = Math.min(rowsPerChunk, T - row0);
    const chunk = x.rows(row0, rows);
    const logits = ctx.tape.tensor(`logits[${row0}]`, [rows, head.out], { category: 'logits' });
    project(ctx, chunk, head, logits, rows);
    const workspace = (label: string, width: number) =>
      ctx.tape.tensor(label, [rows, width], { category: 'workspace' });
    const call = {
      ...{ rows, V: head.out, row0, logits, targets: loss.labels, rowLoss: loss.rowLoss },
      ...{
        peak: workspace('xent.peak', XENT_PARTS),
        total: workspace('xent.total', XENT_PARTS),
        lse: workspace('xent.lse', 1),
      },
    };
    xentFwd(ctx.tape, call);
    if (target === null) continue;
    xentBwd(ctx.tape, call);
    backpropagate(ctx, { chunk, dx: target.grad.rows(row0, rows), logits, rows }, head, target.accumulate);
  }
}

function chunkRows({ tape }: OpContext, T: number, V: number): number {
  const budget = Math.min(LOGITS_BUDGET_BYTES, tape.profile.limits.maxStorageBufferBindingSize);
  const rows = Math.floor(budget / (4 * V) / ROW_GRANULE) * ROW_GRANULE;
  return Math.min(T, Math.max(rows, ROW_GRANULE));
}

function project(ctx: OpContext, x: Tensor, head: DenseWeight, logits: Tensor, rows: number): void {
  for (const shard of shardsOf(ctx.tape, head, ctx.computeDtype, HEAD_SCRATCH_BYTES)) {
    const w = materialize(ctx.tape, head, shard, ctx.computeDtype);
    matmulNt(ctx.tape, {
      M: rows,
      N: shard.rows,
      K: head.in,
      x,
      w,
      y: logits,
      yBand: { ld: head.out, col0: shard.row0 },
    });
  }
}

type Chunk = { readonly chunk: Tensor; readonly dx: Tensor; readonly logits: Tensor; readonly rows: number };

/** `logits` hold their own gradient by now. */
function backpropagate(
  ctx: OpContext,
  { chunk, dx, logits, rows }: Chunk,
  head: DenseWeight,
  accumulateFirst: boolean,
): void {
  let accumulate = accumulateFirst;
  const band = (row0: number) => ({ ld: head.out, col0: row0 });
  for (const shard of shardsOf(ctx.tape, head, ctx.computeDtype, HEAD_SCRATCH_BYTES)) {
    const w = materialize(ctx.tape, head, shard, ctx.computeDtype);
    matmulNn(ctx.tape, {
      M: rows,
      N: shard.rows,
      K: head.in,
      x: logits,
      w,
      y: dx,
      xBand: band(shard.row0),
      accumulate,
    });
    accumulate = true;
    if (!isTrainable(head)) continue;
    const dw = ctx.tape.gradTarget(head.tensor);
    const y = dw.grad.rows(shard.row0, shard.rows);
    matmulTn(ctx.tape, {
      M: rows,
      N: shard.rows,
      K: head.in,
      d: logits,
      x: chunk,
      y,
      dBand: band(shard.row0),
      accumulate: dw.accumulate,
    });
  }
}
