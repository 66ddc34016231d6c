/** Host side of shaders/subnormal.wgsl: a multiplication that shows what a device does to tiny numbers. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';

/** y (n) = x (n) * scale; x and y are both f32 or both f16. */
export function scaleTiny(rec: Recorder, { x, y, scale }: { x: Tensor; y: Tensor; scale: number }): void {
  if (x.dtype !== y.dtype || (x.dtype !== 'f32' && x.dtype !== 'f16'))
    throw new KernelCallError('subnormal', `x is ${x.dtype} and y ${y.dtype}, wanted both f32 or both f16`);
  const n = y.elements;
  rec.dispatch({
    name: 'subnormal',
    when: x.dtype === 'f16' ? ['F16'] : [],
    params: { n, scale },
    buffers: { x: [x, n], y },
    threads: n,
  });
}
