/** f64 reference of the LoRA pair: y = scale * B(A(x * keep)). `keep` is 0 or 1/(1-p) per element, all ones without dropout. */
import type { Vec } from './compare.ts';
import { linearBwdDwRef, linearBwdDxRef, linearFwdRef } from './linear.ts';

/** T rows, `inputs` and `outputs` of the layer, rank R. x, keep (T, inputs); A (R, inputs); B (outputs, R). */
export type LoraRef = {
  T: number;
  inputs: number;
  outputs: number;
  R: number;
  scale: number;
  x: Vec;
  keep: Vec;
  A: Vec;
  B: Vec;
};

/** y (T, outputs), to be added to the base layer's output; u (T, R) is kept for the backward. */
export function loraFwdRef({ T, inputs, outputs, R, scale, x, keep, A, B }: LoraRef) {
  const u = linearFwdRef(times(x, keep), A, T, R, inputs);
  const y = linearFwdRef(u, B, T, outputs, R).map((v) => v * scale);
  return { u, y };
}

/** Given dy (T, outputs): dx (T, inputs), dA (R, inputs), dB (outputs, R). */
export function loraBwdRef({ T, inputs, outputs, R, scale, x, keep, A, B }: LoraRef, u: Vec, dy: Vec) {
  const dyScaled = Float64Array.from(dy, (v) => v * scale);
  const dB = linearBwdDwRef(dyScaled, u, T, outputs, R);
  const du = linearBwdDxRef(dyScaled, B, T, outputs, R);
  const dA = linearBwdDwRef(du, times(x, keep), T, R, inputs);
  const dx = times(linearBwdDxRef(du, A, T, R, inputs), keep);
  return { dx, dA, dB };
}

const times = (a: Vec, b: Vec) => Float64Array.from(a, (v, i) => v * b[i]!);
