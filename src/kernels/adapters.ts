/** Host side of shaders/adapter_{rank,rows,select}.wgsl: rows of a batch whose sequences have different adapters, by the cursor. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';

/** T rows, S of each sequence. */
type Rows = { readonly T: number; readonly S: number };

export type AdapterRank = Rows & {
  R: number;
  xa: Tensor; //     (T, R) in/out
  owners: Tensor; // (R) u32 in
  scales: Tensor; // (R) in
};

/** Scales the columns of xa that are a row's adapter's, and zeroes the others. */
export function adapterRank(rec: Recorder, { T, S, R, xa, owners, scales }: AdapterRank): void {
  const buffers = { xa: [xa, T * R], owners: [owners, R], scales: [scales, R] } as const;
  rec.dispatch({ name: 'adapter_rank', params: { T, S, R }, buffers, threads: T * R });
}

export type AdapterRows = Rows & {
  N: number;
  /** Elements from one adapter's row of the tables to the next. */
  ld: number;
  y: Tensor; //           (T, N) in/out
  gain?: Tensor | null; // (adapters + 1, ld) in
  bias?: Tensor | null; // (adapters + 1, ld) in
};

/** y = gain * y + bias, of each row's adapter. */
export function adapterRows(rec: Recorder, { T, S, N, ld, y, gain, bias }: AdapterRows): void {
  rec.dispatch({
    name: 'adapter_rows',
    when: [...(gain ? ['GAIN'] : []), ...(bias ? ['BIAS'] : [])],
    params: { T, S, N, ld },
    buffers: { y: [y, T * N], ...(gain ? { gain } : {}), ...(bias ? { bias } : {}) },
    threads: T * N,
  });
}

export type AdapterSelect = Rows & {
  N: number;
  adapter: number;
  x: Tensor /** (T, N) in */;
  y: Tensor /** (T, N) in/out */;
};

/** y takes the rows of x that have the adapter. */
export function adapterSelect(rec: Recorder, { T, S, N, adapter, x, y }: AdapterSelect): void {
  const buffers = { x: [x, T * N], y: [y, T * N] } as const;
  rec.dispatch({ name: 'adapter_select', params: { T, S, N, adapter }, buffers, threads: T * N });
}
