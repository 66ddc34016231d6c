/** Host side of shaders/rope.wgsl. The tables come from the host: sin and cos of large angles are wrong on some drivers. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';

export type Rope = {
  T: number;
  S: number;
  heads: number;
  D: number;
  x: Tensor; //   (T, heads*D)  in/out
  cos: Tensor; // (>= S, D/2)   in
  sin: Tensor; // (>= S, D/2)   in
  /** (T) u32, in: where each row stands, below S; t mod S where absent. */
  positions?: Tensor | undefined;
  /** Row t stands t mod S after its sequence's position in the ambient binding `cursor`; the tables have this many positions. */
  atCursor?: number | undefined;
};

/** Turns the heads of q or k by their positions, in place, pairs (j, j + D/2). */
export function ropeFwd(rec: Recorder, call: Rope): void {
  rope(rec, call, 1);
}

/** Turns a gradient of the output into that of the input, in place. */
export function ropeBwd(rec: Recorder, call: Rope): void {
  rope(rec, call, -1);
}

function rope(rec: Recorder, { T, S, heads, D, x, cos, sin, positions, atCursor }: Rope, sign: 1 | -1): void {
  if (D % 2 !== 0) throw new KernelCallError('rope', `head dim ${D} is odd: it has no pairs (j, j + D/2)`);
  const vec4 = D % 8 === 0;
  const reach = ((atCursor ?? S) * D) / 2;
  rec.dispatch({
    name: 'rope',
    when: [...(vec4 ? ['VEC4'] : []), ...(positions ? ['POSITIONS'] : []), ...(atCursor ? ['CURSOR'] : [])],
    params: { T, S, heads, D, sign },
    buffers: {
      x: [x, T * heads * D],
      cos_table: [cos, reach],
      sin_table: [sin, reach],
      ...(positions ? { positions: [positions, T] } : {}),
    },
    threads: (T * heads * D) / (vec4 ? 8 : 2),
  });
}
