/** Host side of shaders/accumulate.wgsl. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { flatWidth } from './vec4.ts';

/** y += x; both of one size. */
export function accumulate(rec: Recorder, { x, y }: { x: Tensor; y: Tensor }): void {
  const { when, n } = flatWidth(y.elements);
  rec.dispatch({ name: 'accumulate', when, params: { n }, buffers: { x: [x, y.elements], y }, threads: n });
}
