/** f64 references of the elementwise ops: SwiGLU and the residual sum. */
import type { Vec } from './compare.ts';

/** h = silu(gate) * up, silu(g) = g / (1 + exp(-g)). */
export function swigluFwdRef(gate: Vec, up: Vec): Float64Array {
  return Float64Array.from(gate, (g, i) => (g / (1 + Math.exp(-g))) * up[i]!);
}

/** dgate and dup from dh. */
export function swigluBwdRef(gate: Vec, up: Vec, dh: Vec) {
  const sigmoid = Float64Array.from(gate, (g) => 1 / (1 + Math.exp(-g)));
  const dgate = sigmoid.map((s, i) => dh[i]! * up[i]! * s * (1 + gate[i]! * (1 - s)));
  const dup = sigmoid.map((s, i) => dh[i]! * gate[i]! * s);
  return { dgate, dup };
}

/** y = a + b. Its gradient is dy for both. */
export function addFwdRef(a: Vec, b: Vec): Float64Array {
  return Float64Array.from(a, (v, i) => v + b[i]!);
}
