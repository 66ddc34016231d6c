/** The LoRA term of a linear layer, scaling * B A dropout(x), forward and backward. */
import type { Tensor } from '../../gpu/tensor.ts';
import { biasBwd } from '../../kernels/bias.ts';
import { dropoutBwd, dropoutFwd } from '../../kernels/dropout.ts';
import { type LowRank, matmulNn, matmulNt, matmulTn } from '../../kernels/matmul.ts';
import type { OpContext } from './context.ts';
import { type GradRows, type Rows, rowLength } from './dense.ts';

/** A (r, in), B (out, r); y += scaling * B A dropout(x). */
export type LoraPair = {
  readonly A: Tensor;
  readonly B: Tensor;
  /** (out): PEFT's lora_bias; y += scaling * bias. Null without. */
  readonly bias: Tensor | null;
  readonly r: number;
  readonly scaling: number;
  readonly dropout: number;
  /** Tells this layer's dropout masks from every other's. */
  readonly site: number;
  /** DoRA's m (out): the layer computes (m / |row of W + scaling * B A|) (W + scaling * B A) x. Null without. */
  readonly magnitude: Tensor | null;
};

/** Sites are counted below this; the chunks of a site count in its multiples. */
export const CHUNK_STRIDE = 2 ** 20;

export function drops(ctx: OpContext, { dropout }: LoraPair): boolean {
  return dropout > 0 && ctx.phase === 'train';
}

/** dropout(x), or x itself where dropout is off. Backward makes it again rather than keeping it. */
export function droppedInput(ctx: OpContext, { x, weight, chunk }: Rows, lora: LoraPair): Tensor {
  if (!drops(ctx, lora)) return x;
  const dropped = ctx.tape.tensor(`${weight.name}.dropped`, x.shape, { category: 'workspace' });
  dropoutFwd(ctx.tape, { x, y: dropped, p: lora.dropout, op: siteOf(lora, chunk) });
  return dropped;
}

/** input A^T (T, r), which backward needs; with B it makes the LoRA term of the layer's product. */
export function loraDown({ tape }: OpContext, { T, weight }: Rows, lora: LoraPair, input: Tensor): Tensor {
  const xa = tape.tensor(`${weight.name}.xa`, [T, lora.r]);
  matmulNt(tape, { M: T, N: lora.r, K: weight.in, x: input, w: lora.A, y: xa });
  return xa;
}

/** scaling * B (input A^T), for `project` to sum on its way. */
export const loraTerm = ({ r, B, scaling }: LoraPair, xa: Tensor): LowRank => ({ r, x: xa, w: B, scale: scaling });

/** dA and dB, added to the flat gradients; returns d(input A^T) (T, r), already scaled. */
export function loraBackward(
  ctx: OpContext,
  rows: Rows,
  lora: LoraPair,
  { input, xa, dy }: { input: Tensor; xa: Tensor; dy: Tensor },
): Tensor {
  const { tape } = ctx;
  const { T, weight } = rows;
  const { r, scaling } = lora;
  const dxa = tape.tensor(`${weight.name}.dxa`, [T, r], { category: 'workspace' });
  const band = { ld: rowLength(dy, weight), col0: 0 };
  const sizes = { M: T, N: weight.out, K: r, scale: scaling };
  matmulNn(tape, { ...sizes, x: dy, xBand: band, w: lora.B, y: dxa });
  const dB = tape.gradTarget(lora.B);
  matmulTn(tape, { ...sizes, d: dy, dBand: band, x: xa, y: dB.grad, accumulate: dB.accumulate });
  if (lora.bias !== null) biasBwd(tape, { T, N: weight.out, dy, db: tape.gradTarget(lora.bias).grad, scale: scaling });
  const dA = tape.gradTarget(lora.A);
  matmulTn(tape, { M: T, N: r, K: weight.in, d: dxa, x: input, y: dA.grad, accumulate: dA.accumulate });
  return dxa;
}

/** dxa A, the gradient of the pair's input, for `backproject` to sum on its way. */
export const loraInputTerm = ({ r, A }: LoraPair, dxa: Tensor): LowRank => ({ r, x: dxa, w: A, scale: 1 });

/** dx = dxa A by itself, where dropout's mask covers this term only. */
export function loraInput({ tape }: OpContext, { T, weight }: Rows, lora: LoraPair, dxa: Tensor, dx: Tensor): void {
  matmulNn(tape, { M: T, N: lora.r, K: weight.in, x: dxa, w: lora.A, y: dx });
}

/** Brings a gradient of dropout(x) to x, through the mask of the forward pass. */
export function undrop(ctx: OpContext, { chunk }: Rows, lora: LoraPair, dropped: Tensor, into: GradRows): void {
  dropoutBwd(ctx.tape, { dy: dropped, dx: into, p: lora.dropout, op: siteOf(lora, chunk) });
}

function siteOf({ site }: LoraPair, chunk: number): number {
  return site + chunk * CHUNK_STRIDE;
}
