/**
 * DoRA (Liu and others 2024, arXiv 2402.09353) as PEFT computes it: y = (m / n) (W + s B A) x, n the row norms of W + s B A,
 * which backward takes for constants. Under dropout that term sees dropout(x), and y has W x - W dropout(x) beside it.
 */
import type { Tensor } from '../../gpu/tensor.ts';
import { DORA_PARTS, doraBwdDm, doraNorm, doraNormPartial, doraScale, type RankBand } from '../../kernels/dora.ts';
import { materialize, shardsOf, type Weight } from '../weight.ts';
import type { OpContext } from './context.ts';
import { addJoined, backproject, type GradRows, project, type Rows } from './dense.ts';
import { droppedInput, drops, type LoraPair, loraBackward, loraDown, loraInputTerm, loraTerm, undrop } from './lora.ts';

export type DoraPair = LoraPair & { readonly magnitude: Tensor };

/** Values that backward needs: u = (W + s B A) dropout(x), dropout(x) A^T, and n. */
export type DoraSaved = { readonly u: Tensor; readonly xa: Tensor; readonly norm: Tensor };

export function isDora(lora: LoraPair | null): lora is DoraPair {
  return lora !== null && lora.magnitude !== null;
}

/** n (out): a shard of W at a time, and nothing else of its size. `norm` is written where it is given. */
export function rowNorms(
  ctx: OpContext,
  weight: Weight,
  { A, B, r, scaling }: Pick<LoraPair, 'A' | 'B' | 'r' | 'scaling'>,
  options: { scratchBudget?: number; norm?: Tensor; band?: RankBand } = {},
): Tensor {
  const { tape } = ctx;
  const { out: N, in: K, name } = weight;
  const partial = tape.tensor(`${name}.norm_parts`, [N, DORA_PARTS], { category: 'workspace' });
  for (const { row0, rows } of shardsOf(tape, weight, ctx.computeDtype, options.scratchBudget)) {
    const w = materialize(tape, weight, { row0, rows }, ctx.computeDtype);
    doraNormPartial(tape, { row0, rows, N, K, R: r, scaling, w, A, B, partial, band: options.band });
  }
  const norm = options.norm ?? tape.tensor(`${name}.norm`, [N]);
  doraNorm(tape, { N, partial, norm });
  return norm;
}

/** Writes the layer's output, without its bias, to y (T, out). */
export function doraForward(ctx: OpContext, rows: Rows, lora: DoraPair, norm: Tensor, y: Tensor): DoraSaved {
  const { tape } = ctx;
  const { T, weight } = rows;
  const u = tape.tensor(`${weight.name}.u`, [T, weight.out]);
  const scale = { T, N: weight.out, x: u, m: lora.magnitude, norm, y };
  const input = droppedInput(ctx, rows, lora);
  const xa = loraDown(ctx, rows, lora, input);
  const term = { plus: loraTerm(lora, xa) };
  const inputRows = { ...rows, x: input };
  if (drops(ctx, lora)) {
    // y takes W dropout(x) as it is before the term joins it
    project(ctx, inputRows, u);
    project(ctx, rows, y);
    doraScale(tape, { ...scale, gain: 0, offset: -1, accumulate: true });
    addJoined(ctx, rows, u, term);
  } else {
    project(ctx, inputRows, u, term);
  }
  doraScale(tape, { ...scale, accumulate: drops(ctx, lora) });
  return { u, xa, norm };
}

/** Adds to the gradients of A, B and m, and writes that of x where it is wanted. */
export function doraBackward(
  ctx: OpContext,
  rows: Rows,
  lora: DoraPair,
  { u, xa, norm }: DoraSaved,
  dy: Tensor,
  dx: GradRows | null,
): void {
  const { tape } = ctx;
  const { T, weight } = rows;
  const { magnitude: m } = lora;
  const shape = { T, N: weight.out };
  doraBwdDm(tape, { ...shape, dy, u, norm, dm: tape.gradTarget(m).grad });
  const du = tape.tensor(`${weight.name}.du`, [T, weight.out], { category: 'workspace' });
  doraScale(tape, { ...shape, x: dy, m, norm, y: du });
  const dxa = loraBackward(ctx, rows, lora, { input: droppedInput(ctx, rows, lora), xa, dy: du });
  if (dx === null) return;
  if (!drops(ctx, lora)) {
    backproject(ctx, rows, du, dx, loraInputTerm(lora, dxa));
    return;
  }
  backproject(ctx, rows, dy, dx);
  doraScale(tape, { ...shape, offset: -1, x: dy, m, norm, y: du });
  const dropped = tape.tensor(`${weight.name}.d_dropped`, rows.x.shape, { category: 'workspace' });
  // the mask covers the adapted term whole
  backproject(ctx, rows, du, { grad: dropped, accumulate: false }, loraInputTerm(lora, dxa));
  undrop(ctx, rows, lora, dropped, { grad: dx.grad, accumulate: true });
}
