/** f64 references of the embedding lookup. ids (T), table (V, C). */
import type { Vec } from './compare.ts';

/** y (T, C): row ids[t] of the table, times scale. */
export function embeddingFwdRef(ids: Vec, table: Vec, T: number, C: number, scale = 1): Float64Array {
  const y = new Float64Array(T * C);
  for (let t = 0; t < T; t++) {
    for (let c = 0; c < C; c++) y[t * C + c] = scale * table[ids[t]! * C + c]!;
  }
  return y;
}

/** dtable (V, C): the sum of scale * dy over the tokens that name the row. */
export function embeddingBwdRef(ids: Vec, dy: Vec, T: number, C: number, V: number, scale = 1): Float64Array {
  const dtable = new Float64Array(V * C);
  for (let t = 0; t < T; t++) {
    for (let c = 0; c < C; c++) dtable[ids[t]! * C + c]! += scale * dy[t * C + c]!;
  }
  return dtable;
}
