/** Host side of shaders/embedding_{fwd,bwd}.wgsl. The table may be one of several row shards. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Dtype, Tensor } from '../gpu/tensor.ts';
import { rowCondition } from './vec4.ts';

/** Which rows of the vocabulary a table holds: row0 .. row0 + rows. */
export type Shard = { readonly row0: number; readonly rows: number };

const TABLE_CONDITION: Partial<Record<Dtype, string>> = { f32: 'F32', bf16: 'BF16', f16: 'F16' };

export type EmbeddingFwd = Shard & {
  T: number;
  C: number;
  /** Factor of the looked-up rows. */
  scale: number;
  ids: Tensor; //   (T)       in, u32
  table: Tensor; // (rows, C) in, f32, bf16 or f16 as on disk
  y: Tensor; //     (T, C)    out
};

/** y[t] = scale * table[ids[t]]. Tokens outside the shard leave their row alone, so all shards write one y. */
export function embeddingFwd(rec: Recorder, { T, C, scale, row0, rows, ids, table, y }: EmbeddingFwd): void {
  const condition = TABLE_CONDITION[table.dtype];
  if (condition === undefined)
    throw new KernelCallError('embedding_fwd', `table is ${table.dtype}, wants f32, bf16 or f16`);
  const wide = rowCondition(C);
  rec.dispatch({
    name: 'embedding_fwd',
    when: [condition, ...wide],
    params: { T, C, row0, rows, scale },
    buffers: { ids: [ids, T], table: [table, rows * C], y: [y, T * C] },
    threads: (T * C) / (wide.length > 0 ? 4 : 1),
  });
}

export type EmbeddingBwd = Shard & {
  T: number;
  C: number;
  scale: number; //  as in the forward
  ids: Tensor; //    (T)       in, u32
  dy: Tensor; //     (T, C)    in
  dtable: Tensor; // (rows, C) in/out, f32
};

/** dtable[ids[t]] += scale * dy[t], in token order. */
export function embeddingBwd(rec: Recorder, { T, C, scale, row0, rows, ids, dy, dtable }: EmbeddingBwd): void {
  const wide = rowCondition(C);
  rec.dispatch({
    name: 'embedding_bwd',
    when: wide,
    params: { T, C, row0, rows, scale },
    buffers: { ids: [ids, T], dy: [dy, T * C], dtable: [dtable, rows * C] },
    threads: (T * C) / (wide.length > 0 ? 4 : 1),
  });
}
