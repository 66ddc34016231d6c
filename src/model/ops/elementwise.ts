/** Residual add, SwiGLU and RMSNorm as ops: forward, and how their gradients flow. */
import type { Tensor } from '../../gpu/tensor.ts';
import { accumulate } from '../../kernels/accumulate.ts';
import { addFwd } from '../../kernels/add.ts';
import { rmsnormBwdDw, rmsnormBwdDx, rmsnormFwd } from '../../kernels/rmsnorm.ts';
import { swigluBwd, swigluFwd } from '../../kernels/swiglu.ts';
import { type OpContext, output } from './context.ts';

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

/** x (T, C), weight (C) f32 -> x / rms(x) * weight. */
export function rmsNorm({ tape }: OpContext, x: Tensor, weight: Tensor, eps: number): Tensor {
  const [T = 1, C = 1] = x.shape;
  const y = output(tape, `${weight.label}.y`, x.shape, [x, weight]);
  const rstd = tape.tensor(`${weight.label}.rstd`, [T]);
  rmsnormFwd(tape, { T, C, eps, x, w: weight, y, rstd });
  tape.onBackward([y], () => {
    const dy = tape.gradOf(y);
    if (weight.requiresGrad) rmsnormBwdDw(tape, { T, C, x, rstd, dy, dw: tape.gradTarget(weight).grad });
    if (!x.requiresGrad) return;
    rmsnormBwdDx(tape, { T, C, x, w: weight, rstd, dy, dx: tape.gradTarget(x) });
  });
  return y;
}

/** gate, up (T, F) -> silu(gate) * up. */
export function swiglu({ tape }: OpContext, label: string, gate: Tensor, up: Tensor): Tensor {
  const h = output(tape, label, gate.shape, [gate, up]);
  swigluFwd(tape, { gate, up, h });
  tape.onBackward([h], () => {
    // Both are read by this op alone, so that each has exactly this one gradient writer.
    const dgate = tape.gradTarget(gate).grad;
    const dup = tape.gradTarget(up).grad;
    swigluBwd(tape, { gate, up, dh: tape.gradOf(h), dgate, dup });
  });
  return h;
}
