/** Host side of shaders/dora_{norm_partial,norm,scale,bwd_dm}.wgsl: T rows, a layer of N outputs and K inputs, rank R. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { flag, rowCondition } from './vec4.ts';

/** Threads that share a row of the weight. */
export const DORA_PARTS = 32;

export type DoraNormPartial = {
  /** Rows of the weight at hand, row0 .. row0 + rows. */
  row0: number;
  rows: number;
  N: number;
  K: number;
  R: number;
  scaling: number;
  w: Tensor; //       (rows, K) in, f32 or f16
  A: Tensor; //       (R, K) in
  B: Tensor; //       (N, R) in
  partial: Tensor; // (N, DORA_PARTS) out, the rows at hand
  /** A and B are rows, and columns, from `first` on of an A and a B of `ranks`. */
  band?: RankBand | undefined;
};

export type RankBand = { readonly first: number; readonly ranks: number };

/** Shares of the squared row norms of W + scaling * BA. */
export function doraNormPartial(rec: Recorder, call: DoraNormPartial): void {
  const { row0, rows, N, K, R, scaling, w, A, B, partial, band = { first: 0, ranks: R } } = call;
  const { first, ranks } = band;
  if (w.dtype !== 'f32' && w.dtype !== 'f16')
    throw new KernelCallError('dora_norm_partial', `w is ${w.dtype}: widen it to f32 or f16 first`);
  rec.dispatch({
    name: 'dora_norm_partial',
    when: [...rowCondition(K), ...(w.dtype === 'f16' ? ['F16'] : [])],
    constants: { PARTS: DORA_PARTS },
    params: { rows, K, R, row0, scaling, first, ranks },
    buffers: { w: [w, rows * K], a: [A, ranks * K], b: [B, N * ranks], partial: [partial, N * DORA_PARTS] },
    threads: rows * DORA_PARTS,
  });
}

/** norm (N) out = the square root of each row's shares. */
export function doraNorm(rec: Recorder, { N, partial, norm }: { N: number; partial: Tensor; norm: Tensor }): void {
  rec.dispatch({
    name: 'dora_norm',
    constants: { PARTS: DORA_PARTS },
    params: { N },
    buffers: { partial: [partial, N * DORA_PARTS], norm: [norm, N] },
    threads: N,
  });
}

export type DoraScale = {
  T: number;
  N: number;
  gain?: number;
  offset?: number;
  accumulate?: boolean;
  x: Tensor; //    (T, N) in
  m: Tensor; //    (N) in
  norm: Tensor; // (N) in
  y: Tensor; //    (T, N) out
};

/** y = or += x * (gain * m / norm + offset), column by column. */
export function doraScale(rec: Recorder, call: DoraScale): void {
  const { T, N, gain = 1, offset = 0, accumulate = false, x, m, norm, y } = call;
  const when = rowCondition(N);
  const columns = when.length > 0 ? N / 4 : N;
  const n = T * columns;
  rec.dispatch({
    name: 'dora_scale',
    when,
    params: { n, columns, gain, offset, accumulate: flag(accumulate) },
    buffers: { x: [x, T * N], m: [m, N], norm: [norm, N], y: [y, T * N] },
    threads: n,
  });
}

/** dy, u (T, N) and norm (N) in; dm (N) in/out. */
export type DoraBwdDm = { T: number; N: number; dy: Tensor; u: Tensor; norm: Tensor; dm: Tensor };

/** dm += the sum over rows of dy * u / norm. */
export function doraBwdDm(rec: Recorder, { T, N, dy, u, norm, dm }: DoraBwdDm): void {
  const buffers = { dy: [dy, T * N], u: [u, T * N], norm: [norm, N], dm: [dm, N] } as const;
  rec.dispatch({ name: 'dora_bwd_dm', params: { T, N }, buffers, threads: N });
}
