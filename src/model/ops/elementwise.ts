/** Residual add, gated units, RMSNorm and the parts of a fused projection as ops: forward, and how their gradients flow. */
import type { Tensor } from '../../gpu/tensor.ts';
import { accumulate } from '../../kernels/accumulate.ts';
import { addFwd } from '../../kernels/add.ts';
import { roundToHalf, widen } from '../../kernels/dequant.ts';
import { type Activation, gluBwd, gluBwdHalf, gluFwd } from '../../kernels/glu.ts';
import { rmsnormBwdDw, rmsnormBwdDx, rmsnormFwd } from '../../kernels/rmsnorm.ts';
import { splitBwd, splitFwd } from '../../kernels/split.ts';
import type { ComputeDtype } from '../weight.ts';
import { select } from './banked.ts';
import { type OpContext, operandDtype, output } from './context.ts';

/** y = residual + branch. The gradient of y passes to both without a copy. */
export function addResidual({ tape }: OpContext, label: string, residual: Tensor, branch: Tensor): Tensor {
  const y = output(tape, label, residual.shape, [residual, branch]);
  addFwd(tape, { a: residual, b: branch, y });
  tape.onBackward([y], () => {
    if (tape.passGrad(y, residual, branch)) return;
    accumulate(tape, { x: tape.gradOf(y), y: tape.gradTarget(residual).grad });
  });
  return y;
}

/**
 * x -> x / rms(x) * (offset + weight) over rows as long as the weight: a row of x, or each head of one.
 * @param offset 1 where the weights are stored around 0
 * @param dtype of what comes out
 */
export function rmsNorm(
  ctx: OpContext,
  x: Tensor,
  weight: Tensor,
  eps: number,
  offset = 0,
  dtype: ComputeDtype = 'f32',
): Tensor {
  const { tape } = ctx;
  const C = weight.elements;
  const T = x.elements / C;
  const y = output(tape, `${weight.label}.y`, x.shape, [x, weight], dtype);
  const rstd = tape.tensor(`${weight.label}.rstd`, [T]);
  rmsnormFwd(tape, { T, C, eps, offset, x, w: weight, y, rstd });
  for (const { adapter, weight: w } of ctx.adapters?.norms.get(weight.label) ?? []) {
    const other = tape.tensor(`${weight.label}.replaced`, x.shape, { category: 'workspace' });
    rmsnormFwd(tape, { T, C, eps, offset, x, w, y: other, rstd });
    select(ctx, adapter, other, y, C);
  }
  tape.onBackward([y], () => {
    const dy = tape.gradOf(y);
    if (weight.requiresGrad) rmsnormBwdDw(tape, { T, C, x, rstd, dy, dw: tape.gradTarget(weight).grad });
    if (!x.requiresGrad) return;
    rmsnormBwdDx(tape, { T, C, offset, x, w: weight, rstd, dy, dx: tape.gradTarget(x) });
  });
  return y;
}

/** Rounds x to float16. @returns what records x from it again, in float32 */
export function keepHalf({ tape }: OpContext, x: Tensor): () => Tensor {
  const half = tape.tensor(`${x.label}.kept`, x.shape, { dtype: 'f16' });
  roundToHalf(tape, { x, half });
  return () => {
    const again = tape.tensor(`${x.label}.again`, x.shape, { requiresGrad: x.requiresGrad });
    widen(tape, { n: x.elements, source: half, w: again });
    return again;
  };
}

/** gate, up (T, F) -> act(gate) * up, for a product to read. */
export function gatedUnit(ctx: OpContext, label: string, act: Activation, gate: Tensor, up: Tensor): Tensor {
  const { tape } = ctx;
  const F = gate.shape[1] ?? 0;
  const half = gate.halfGrad && up.halfGrad;
  const requiresGrad = gate.requiresGrad || up.requiresGrad;
  const h = tape.tensor(label, gate.shape, { dtype: operandDtype(ctx, F), requiresGrad, halfGrad: half });
  gluFwd(tape, { act, gate, up, h });
  tape.onBackward([h], () => {
    // Both are read by this op alone, so that each has exactly this one gradient writer, and here its last reader.
    const dh = tape.gradOf(h);
    if (!half) {
      gluBwd(tape, { act, gate, up, dh, dgate: tape.gradTarget(gate).grad, dup: tape.gradTarget(up).grad });
      return;
    }
    for (const input of [gate, up]) tape.gradInPlace(input);
    gluBwdHalf(tape, { act, T: gate.elements / F, F, gate, up, dh });
  });
  return h;
}

/** x (T, sum of widths) -> its column bands, each a tensor of its own. All of them have to be used. */
export function splitColumns<const W extends readonly number[]>(
  { tape, B, S }: OpContext,
  x: Tensor,
  widths: W,
): { [i in keyof W]: Tensor } {
  const T = B * S;
  const width = widths.reduce((sum, columns) => sum + columns, 0);
  let next = 0;
  const parts = widths.map((columns, i) => {
    const band = { T, width, first: next, columns };
    next += columns;
    const y = output(tape, `${x.label}[${i}]`, [T, columns], [x]);
    splitFwd(tape, { ...band, x, y });
    return { band, y };
  });
  const outputs = parts.map(({ y }) => y);
  tape.onBackward(outputs, () => {
    // x is read by this op alone, and its parts cover it: the gradient is stored, band by band.
    const dx = tape.gradTarget(x).grad;
    for (const { band, y } of parts) splitBwd(tape, { ...band, dy: tape.gradOf(y), dx });
  });
  return outputs as { [i in keyof W]: Tensor };
}
