/** Host side of shaders/neftune.wgsl: noise on embeddings (arXiv 2310.05914). */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';

/** Its number among the sites that draw from Philox: sites of dropout count from 0. */
export const NEFTUNE_SITE = 0xffff_ffff;

/** x (rows, C), C a multiple of 4: adds uniform noise of at most `magnitude`. Backward passes a gradient on as it is. */
export function neftune(rec: Recorder, { x, magnitude }: { x: Tensor; magnitude: number }): void {
  const vectors = x.elements / 4;
  rec.dispatch({ name: 'neftune', params: { vectors, op: NEFTUNE_SITE, magnitude }, buffers: { x }, threads: vectors });
}
