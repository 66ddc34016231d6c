/** A linear layer y = x W^T (+ b) with an optional LoRA pair, forward and backward. */
import type { Tensor } from '../../gpu/tensor.ts';
import { biasBwd, biasFwd } from '../../kernels/bias.ts';
import { dropoutBwd, dropoutFwd } from '../../kernels/dropout.ts';
import { matmulNn, matmulNt, matmulTn } from '../../kernels/matmul.ts';
import { isTrainable, materialize, shardsOf, type Weight } from '../weight.ts';
import type { OpContext } from './context.ts';

/** A (r, in), B (out, r); y += scaling * B A dropout(x). */
export type LoraPair = {
  readonly A: Tensor;
  readonly B: Tensor;
  readonly r: number;
  readonly scaling: number;
  readonly dropout: number;
  /** Tells this layer's dropout masks from every other's. */
  readonly site: number;
};

export type LinearLayer = {
  /** Of the module, as in the checkpoint. */
  readonly name: string;
  readonly weight: Weight;
  /** (out) f32. */
  readonly bias: Tensor | null;
  readonly lora: LoraPair | null;
};

/** x (T, in) -> y (T, out). */
export function linear(ctx: OpContext, x: Tensor, layer: LinearLayer): Tensor {
  const { tape } = ctx;
  const { weight, bias, lora } = layer;
  const T = ctx.B * ctx.S;
  const requiresGrad = x.requiresGrad || lora !== null || isTrainable(weight) || bias?.requiresGrad === true;
  const y = tape.tensor(`${weight.name}.y`, [T, weight.out], { requiresGrad });
  for (const shard of shardsOf(tape, weight, ctx.computeDtype)) {
    const w = materialize(tape, weight, shard, ctx.computeDtype);
    matmulNt(tape, { M: T, N: shard.rows, K: weight.in, x, w, y, yBand: { ld: weight.out, col0: shard.row0 } });
  }
  if (bias !== null) biasFwd(tape, { T, N: weight.out, b: bias, y });
  const xa = lora === null ? null : loraForward(ctx, x, y, layer, lora);
  tape.onBackward([y], () => {
    const dy = tape.gradOf(y);
    if (isTrainable(weight)) weightGrad(ctx, x, dy, weight);
    if (bias?.requiresGrad) biasBwd(tape, { T, N: weight.out, dy, db: tape.gradTarget(bias).grad });
    const dxa = lora === null || xa === null ? null : loraBackward(ctx, { x, xa, dy }, layer, lora);
    if (x.requiresGrad) inputGrad(ctx, x, dy, layer, dxa);
  });
  return y;
}

/** Adds the LoRA term to y; returns x A^T (T, r), which backward needs. */
function loraForward(ctx: OpContext, x: Tensor, y: Tensor, { weight }: LinearLayer, lora: LoraPair): Tensor {
  const { tape } = ctx;
  const T = ctx.B * ctx.S;
  const xa = tape.tensor(`${weight.name}.xa`, [T, lora.r]);
  const input = droppedInput(ctx, x, weight, lora);
  matmulNt(tape, { M: T, N: lora.r, K: weight.in, x: input, w: lora.A, y: xa });
  matmulNt(tape, { M: T, N: weight.out, K: lora.r, x: xa, w: lora.B, y, scale: lora.scaling, accumulate: true });
  return xa;
}

/** dropout(x), or x itself where dropout is off. Backward makes it again rather than keeping it. */
function droppedInput(ctx: OpContext, x: Tensor, weight: Weight, { dropout, site }: LoraPair): Tensor {
  if (dropout === 0 || ctx.dropout === 'eval') return x;
  const dropped = ctx.tape.tensor(`${weight.name}.dropped`, x.shape, { category: 'workspace' });
  dropoutFwd(ctx.tape, { x, y: dropped, p: dropout, op: site });
  return dropped;
}

/** dA and dB, added to the flat gradients; returns d(xA^T) (T, r), already scaled. */
function loraBackward(
  ctx: OpContext,
  { x, xa, dy }: { x: Tensor; xa: Tensor; dy: Tensor },
  { weight }: LinearLayer,
  lora: LoraPair,
): Tensor {
  const { tape } = ctx;
  const T = ctx.B * ctx.S;
  const { r, scaling } = lora;
  const dxa = tape.tensor(`${weight.name}.dxa`, [T, r], { category: 'workspace' });
  matmulNn(tape, { M: T, N: weight.out, K: r, x: dy, w: lora.B, y: dxa, scale: scaling });
  const dB = tape.gradTarget(lora.B);
  matmulTn(tape, { M: T, N: weight.out, K: r, d: dy, x: xa, y: dB.grad, scale: scaling, accumulate: dB.accumulate });
  const dA = tape.gradTarget(lora.A);
  const input = droppedInput(ctx, x, weight, lora);
  matmulTn(tape, { M: T, N: r, K: weight.in, d: dxa, x: input, y: dA.grad, accumulate: dA.accumulate });
  return dxa;
}

/** dx = dy W (+ dxa A, through the dropout mask). */
function inputGrad(ctx: OpContext, x: Tensor, dy: Tensor, { weight, lora }: LinearLayer, dxa: Tensor | null): void {
  const { tape } = ctx;
  const T = ctx.B * ctx.S;
  const target = tape.gradTarget(x);
  let { accumulate } = target;
  for (const shard of shardsOf(tape, weight, ctx.computeDtype)) {
    const w = materialize(tape, weight, shard, ctx.computeDtype);
    const xBand = { ld: weight.out, col0: shard.row0 };
    matmulNn(tape, { M: T, N: shard.rows, K: weight.in, x: dy, w, y: target.grad, xBand, accumulate });
    accumulate = true;
  }
  if (lora === null || dxa === null) return;
  if (lora.dropout === 0 || ctx.dropout === 'eval') {
    matmulNn(tape, { M: T, N: lora.r, K: weight.in, x: dxa, w: lora.A, y: target.grad, accumulate });
    return;
  }
  const dropped = tape.tensor(`${weight.name}.d_dropped`, x.shape, { category: 'workspace' });
  matmulNn(tape, { M: T, N: lora.r, K: weight.in, x: dxa, w: lora.A, y: dropped });
  dropoutBwd(tape, { dy: dropped, dx: { grad: target.grad, accumulate }, p: lora.dropout, op: lora.site });
}

/** dW += dy^T x, for full training: the weight is dense and f32. */
function weightGrad(ctx: OpContext, x: Tensor, dy: Tensor, weight: Weight): void {
  if (weight.kind !== 'dense') return;
  const target = ctx.tape.gradTarget(weight.tensor);
  const M = ctx.B * ctx.S;
  matmulTn(ctx.tape, { M, N: weight.out, K: weight.in, d: dy, x, y: target.grad, accumulate: target.accumulate });
}
