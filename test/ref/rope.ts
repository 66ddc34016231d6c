/** f64 references of rotary embeddings, Hugging Face's half-split layout: pairs are (j, j + D/2). */
import type { Vec } from './compare.ts';

/** x (T, heads*D), T = B*S; cos, sin (>= S, D/2) by position. Row t stands at positions[t], or at t mod S. */
export type RopeRef = { T: number; S: number; heads: number; D: number; cos: Vec; sin: Vec; positions?: Vec };

/** y = x rotated by the angle of its position. */
export function ropeFwdRef(x: Vec, shape: RopeRef): Float64Array {
  return rotate(x, shape, 1);
}

/** dx: a rotation's transpose is the rotation back. */
export function ropeBwdRef(dy: Vec, shape: RopeRef): Float64Array {
  return rotate(dy, shape, -1);
}

function rotate(x: Vec, { T, S, heads, D, cos, sin, positions }: RopeRef, sign: 1 | -1): Float64Array {
  const y = new Float64Array(T * heads * D);
  const half = D / 2;
  for (let t = 0; t < T; t++) {
    const position = positions?.[t] ?? t % S;
    for (let h = 0; h < heads; h++) {
      for (let j = 0; j < half; j++) {
        const i = (t * heads + h) * D + j;
        const co = cos[position * half + j]!;
        const si = sign * sin[position * half + j]!;
        y[i] = x[i]! * co - x[i + half]! * si;
        y[i + half] = x[i + half]! * co + x[i]! * si;
      }
    }
  }
  return y;
}

/** cos and sin (S, D/2), base theta: what the kernel is given, in f32. */
export function ropeTables(S: number, D: number, theta = 10_000) {
  const angle = (i: number) => Math.floor(i / (D / 2)) * theta ** ((-2 * (i % (D / 2))) / D);
  const length = (S * D) / 2;
  return {
    cos: Float32Array.from({ length }, (_, i) => Math.cos(angle(i))),
    sin: Float32Array.from({ length }, (_, i) => Math.sin(angle(i))),
  };
}
