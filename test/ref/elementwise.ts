/** f64 references of the elementwise ops: SwiGLU, GeGLU, the residual sum, and columns taken out of a matrix. */
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

const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

/** h = gelu(gate) * up, gelu(g) = g/2 * (1 + tanh(sqrt(2/pi) * (g + 0.044715 g^3))). */
export function gegluFwdRef(gate: Vec, up: Vec): Float64Array {
  return Float64Array.from(gate, (g, i) => (g / 2) * (1 + Math.tanh(GELU_SCALE * (g + GELU_CUBIC * g ** 3))) * up[i]!);
}

/** dgate and dup from dh. */
export function gegluBwdRef(gate: Vec, up: Vec, dh: Vec) {
  const tanh = Float64Array.from(gate, (g) => Math.tanh(GELU_SCALE * (g + GELU_CUBIC * g ** 3)));
  const dgate = tanh.map((t, i) => {
    const slope = GELU_SCALE * (1 + 3 * GELU_CUBIC * gate[i]! ** 2);
    return dh[i]! * up[i]! * ((1 + t) / 2 + (gate[i]! / 2) * (1 - t * t) * slope);
  });
  const dup = tanh.map((t, i) => (dh[i]! * gate[i]! * (1 + t)) / 2);
  return { dgate, dup };
}

/** Columns first.. of a matrix (T, width). */
export type ColumnBand = { T: number; width: number; first: number; columns: number };

/** y (T, columns) = those columns of x (T, width). */
export function splitFwdRef(x: Vec, { T, width, first, columns }: ColumnBand): Float64Array {
  const at = (i: number) => Math.floor(i / columns) * width + first + (i % columns);
  return Float64Array.from({ length: T * columns }, (_, i) => x[at(i)]!);
}

/** dx (T, width), 0 outside the columns. */
export function splitBwdRef(dy: Vec, { T, width, first, columns }: ColumnBand): Float64Array {
  const dx = new Float64Array(T * width);
  for (let i = 0; i < T * columns; i++) dx[Math.floor(i / columns) * width + first + (i % columns)] = dy[i]!;
  return dx;
}
