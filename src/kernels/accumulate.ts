/** Host side of shaders/accumulate.wgsl. */
import type { Tape } from '../gpu/tape.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { flatWidth } from './vec4.ts';

/** y += x; both of one size. */
export function accumulate(tape: Tape, { x, y }: { x: Tensor; y: Tensor }): void {
  const { when, n } = flatWidth(y.elements);
  tape.dispatch({ name: 'accumulate', when, params: { n }, buffers: { x: [x, y.elements], y }, threads: n });
}
