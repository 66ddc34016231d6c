/** Host side of shaders/split_{fwd,bwd}.wgsl: a fused projection's output, taken apart by columns. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';

/** Columns first .. first + columns of a matrix (T, width). */
export type ColumnBand = { T: number; width: number; first: number; columns: number };

/** x (T, width) in; y (T, columns) out. */
export function splitFwd(rec: Recorder, { x, y, ...band }: ColumnBand & { x: Tensor; y: Tensor }): void {
  const { when, params, whole, part } = prepare(band);
  rec.dispatch({ name: 'split_fwd', when, params, buffers: { x: [x, whole], y: [y, part] }, threads: params.n });
}

/** dy (T, columns) in; dx (T, width) out: its other columns stay as they are. */
export function splitBwd(rec: Recorder, { dy, dx, ...band }: ColumnBand & { dy: Tensor; dx: Tensor }): void {
  const { when, params, whole, part } = prepare(band);
  rec.dispatch({ name: 'split_bwd', when, params, buffers: { dy: [dy, part], dx: [dx, whole] }, threads: params.n });
}

function prepare({ T, width, first, columns }: ColumnBand) {
  const vec4 = [width, first, columns].every((n) => n % 4 === 0);
  const size = vec4 ? 4 : 1;
  return {
    when: vec4 ? ['VEC4'] : [],
    params: { n: (T * columns) / size, columns: columns / size, width: width / size, first: first / size },
    whole: T * width,
    part: T * columns,
  };
}
