/** Host side of shaders/add_fwd.wgsl. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';

export type AddFwd = { readonly a: Tensor; readonly b: Tensor; readonly y: Tensor };

/** y = a + b, element by element. All three have the same number of elements. */
export function addFwd(rec: Recorder, { a, b, y }: AddFwd): void {
  const n = y.elements;
  if (a.elements !== n || b.elements !== n)
    throw new KernelCallError('add_fwd', `${a.elements} + ${b.elements} elements into ${n}`);
  const vec4 = n % 4 === 0;
  const threads = vec4 ? n / 4 : n;
  rec.dispatch({ name: 'add_fwd', when: vec4 ? ['VEC4'] : [], params: { n: threads }, buffers: { a, b, y }, threads });
}
