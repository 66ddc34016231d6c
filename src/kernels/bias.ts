/** Host side of shaders/bias_{fwd,bwd}.wgsl: the bias of a linear layer. T rows, N outputs. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { rowCondition } from './vec4.ts';

/** b (N) in; y (T, N) in/out. */
export type BiasFwd = { T: number; N: number; b: Tensor; y: Tensor; scale?: number };

/** y[t] += scale * b. */
export function biasFwd(rec: Recorder, { T, N, b, y, scale = 1 }: BiasFwd): void {
  const when = rowCondition(N);
  const columns = when.length > 0 ? N / 4 : N;
  const n = T * columns;
  const params = { n, columns, scale };
  rec.dispatch({ name: 'bias_fwd', when, params, buffers: { b: [b, N], y: [y, T * N] }, threads: n });
}

/** dy (T, N) in; db (N) in/out. */
export type BiasBwd = { T: number; N: number; dy: Tensor; db: Tensor; scale?: number };

/** db += scale times the sum of dy over its rows. */
export function biasBwd(rec: Recorder, { T, N, dy, db, scale = 1 }: BiasBwd): void {
  const when = rowCondition(N);
  const columns = when.length > 0 ? N / 4 : N;
  const buffers = { dy: [dy, T * N], db: [db, N] } as const;
  rec.dispatch({ name: 'bias_bwd', when, params: { T, columns, scale }, buffers, threads: columns });
}
