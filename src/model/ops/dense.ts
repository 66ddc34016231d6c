/** The products of a layer's own weight, shard by shard: y = x W^T, dx = dy W, dW = dy^T x. */
import type { Tensor } from '../../gpu/tensor.ts';
import { matmulNn, matmulNt, matmulTn } from '../../kernels/matmul.ts';
import { isTrainable, materialize, projectPacked, projectsPacked, shardsOf, type Weight } from '../weight.ts';
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

/** y (T, out) = x W^T. */
export function project(ctx: OpContext, { x, T, weight, scratchBudget }: Rows, y: Tensor): void {
  for (const shard of shardsOf(ctx.tape, weight, ctx.computeDtype, scratchBudget)) {
    const yBand = { ld: weight.out, col0: shard.row0 };
    // Not in training: there QLoRA is LoRA on the decoded base to the bit.
    if (ctx.dropout === 'eval' && projectsPacked(weight, T)) {
      projectPacked(ctx.tape, weight, shard, ctx.computeDtype, { T, x, y, yBand });
      continue;
    }
    const w = materialize(ctx.tape, weight, shard, ctx.computeDtype);
    matmulNt(ctx.tape, { M: T, N: shard.rows, K: weight.in, x, w, y, yBand });
  }
}

/** dx = or += dy W. */
export function backproject(ctx: OpContext, { T, weight, scratchBudget }: Rows, dy: Tensor, dx: GradRows): void {
  let { accumulate } = dx;
  for (const shard of shardsOf(ctx.tape, weight, ctx.computeDtype, scratchBudget)) {
    const w = materialize(ctx.tape, weight, shard, ctx.computeDtype);
    const xBand = { ld: weight.out, col0: shard.row0 };
    matmulNn(ctx.tape, { M: T, N: shard.rows, K: weight.in, x: dy, w, y: dx.grad, xBand, accumulate });
    accumulate = true;
  }
}

/** dW += dy^T x where the weight is trained: it is dense and f32 then. */
export function weightGrad(ctx: OpContext, { x, T, weight, scratchBudget }: Rows, dy: Tensor): void {
  if (weight.kind !== 'dense' || !isTrainable(weight)) return;
  const { grad, accumulate } = ctx.tape.gradTarget(weight.tensor);
  for (const { row0, rows } of shardsOf(ctx.tape, weight, ctx.computeDtype, scratchBudget)) {
    const dBand = { ld: weight.out, col0: row0 };
    const y = grad.rows(row0, rows);
    matmulTn(ctx.tape, { M: T, N: rows, K: weight.in, d: dy, x, y, dBand, accumulate });
  }
}
