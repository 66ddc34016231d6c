/** The products of a layer's own weight, shard by shard: y = x W^T, dx = dy W, dW = dy^T x. */
import type { Tensor } from '../../gpu/tensor.ts';
import { biasFwd } from '../../kernels/bias.ts';
import { type LowRank, matmulNn, matmulNt, matmulTn } from '../../kernels/matmul.ts';
import { isTrainable, materialize, projectStored, projectsStored, shardsOf, type Weight } from '../weight.ts';
import type { OpContext } from './context.ts';

/** Rows of x (T, in) on their way through a layer: all of a batch, or a chunk of them. */
export type Rows = {
  readonly x: Tensor;
  readonly T: number;
  readonly weight: Weight;
  /** Which chunk, from 0: dropout tells them apart. */
  readonly chunk: number;
  /** Most bytes of the weight that are widened at once; all of it where absent. */
  readonly scratchBudget?: number;
};

/** Rows of a gradient, and whether something stands there already. */
export type GradRows = { readonly grad: Tensor; readonly accumulate: boolean };

/** Terms that join a layer's product on its way to y: a LoRA term, whose w is (out, r), and the bias (out). */
export type Joined = { readonly plus?: LowRank; readonly bias?: Tensor | null };

/** y (T, out) = x W^T (+ plus) (+ bias). */
export function project(ctx: OpContext, rows: Rows, y: Tensor, joined: Joined = {}): void {
  const { x, T, weight, scratchBudget } = rows;
  // only outside of training, where QLoRA has to equal LoRA on the decoded base to the bit
  const isStored = ctx.phase !== 'train' && projectsStored(ctx.tape, weight, T);
  // what needs no scratch is not cut by a budget for it
  for (const shard of shardsOf(ctx.tape, weight, ctx.computeDtype, isStored ? undefined : scratchBudget)) {
    const yBand = { ld: weight.out, col0: shard.row0 };
    if (isStored) {
      projectStored(ctx.tape, weight, shard, ctx.computeDtype, { T, x, y, yBand });
      continue;
    }
    const w = materialize(ctx.tape, weight, shard, ctx.computeDtype);
    const { plus, bias } = joined;
    matmulNt(ctx.tape, {
      M: T,
      N: shard.rows,
      K: weight.in,
      x,
      w,
      y,
      yBand,
      ...(plus && { plus: { ...plus, row0: shard.row0 } }),
      ...(bias && { bias: { tensor: bias, col0: shard.row0 } }),
    });
  }
  if (isStored) addJoined(ctx, rows, y, joined);
}

/** The same, added to a product that is there already. */
export function addJoined({ tape }: OpContext, { T, weight }: Rows, y: Tensor, { plus, bias }: Joined): void {
  if (bias) biasFwd(tape, { T, N: weight.out, b: bias, y });
  if (plus) matmulNt(tape, { M: T, N: weight.out, K: plus.r, ...plus, y, accumulate: true });
}

/** Elements from one row of dy (T, out) to the next: in f16 it may lie in the wider rows of what it took the place of. */
export function rowLength(dy: Tensor, { out }: Weight): number {
  return dy.dtype === 'f16' ? (dy.shape[1] ?? out) : out;
}

/** dx = or += dy W (+ plus, whose w is (r, in)). */
export function backproject(
  ctx: OpContext,
  { T, weight, scratchBudget }: Rows,
  dy: Tensor,
  dx: GradRows,
  plus?: LowRank,
): void {
  let { accumulate } = dx;
  let joins = plus;
  for (const shard of shardsOf(ctx.tape, weight, ctx.computeDtype, scratchBudget)) {
    const w = materialize(ctx.tape, weight, shard, ctx.computeDtype);
    const xBand = { ld: rowLength(dy, weight), col0: shard.row0 };
    const sizes = { M: T, N: shard.rows, K: weight.in };
    matmulNn(ctx.tape, { ...sizes, x: dy, w, y: dx.grad, xBand, accumulate, ...(joins && { plus: joins }) });
    accumulate = true;
    joins = undefined;
  }
}

/** dW += dy^T x where the weight is trained: it is dense and f32 then. */
export function weightGrad(ctx: OpContext, { x, T, weight, scratchBudget }: Rows, dy: Tensor): void {
  if (weight.kind !== 'dense' || !isTrainable(weight)) return;
  const { grad, accumulate } = ctx.tape.gradTarget(weight.tensor);
  for (const { row0, rows } of shardsOf(ctx.tape, weight, ctx.computeDtype, scratchBudget)) {
    const dBand = { ld: rowLength(dy, weight), col0: row0 };
    const y = grad.rows(row0, rows);
    matmulTn(ctx.tape, { M: T, N: rows, K: weight.in, d: dy, x, y, dBand, accumulate });
  }
}
