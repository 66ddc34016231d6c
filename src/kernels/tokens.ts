/**
 * Host side of shaders/token_{slots,columns,columns_bwd}.wgsl: tokens whose rows of an embedding are trained, in place of the table's. T rows,
 * n trained tokens.
 */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';

/** Rows whose sequences have this adapter, by the cursor; S rows of each sequence. Left out, all rows. */
export type Owner = { readonly adapter: number; readonly S: number };

const owned = (owner: Owner | undefined) =>
  owner === undefined
    ? { when: [], params: { S: 1, adapter: 0 } }
    : { when: ['OWNED'], params: { S: owner.S, adapter: owner.adapter } };

export type TokenSlots = {
  T: number;
  n: number;
  ids: Tensor; //     (T) u32 in
  indices: Tensor; // (n) u32 in
  slots: Tensor; //   (T) u32 out
  owner?: Owner | undefined;
};

/** slots[t] = the place of ids[t] among the trained tokens; n where it has none. */
export function tokenSlots(rec: Recorder, { T, n, ids, indices, slots, owner }: TokenSlots): void {
  const { when, params } = owned(owner);
  const buffers = { ids: [ids, T], indices: [indices, n], slots: [slots, T] } as const;
  rec.dispatch({ name: 'token_slots', when, params: { T, n, ...params }, buffers, threads: T });
}

export type TokenColumns = {
  T: number;
  V: number;
  n: number;
  indices: Tensor; // (n) u32 in
  x: Tensor; //       (T, n); of the backward out
  y: Tensor; //       (T, V) in/out
  owner?: Owner | undefined;
};

/** y[t, indices[j]] = x[t, j]. */
export function tokenColumns(rec: Recorder, { T, V, n, indices, x, y, owner }: TokenColumns): void {
  const { when, params } = owned(owner);
  const buffers = { indices: [indices, n], x: [x, T * n], y: [y, T * V] } as const;
  rec.dispatch({ name: 'token_columns', when, params: { T, V, n, ...params }, buffers, threads: T * n });
}

/** x[t, j] = y[t, indices[j]], which becomes 0: gradients, y those of the logits. */
export function tokenColumnsBwd(rec: Recorder, { T, V, n, indices, x, y }: Omit<TokenColumns, 'owner'>): void {
  const buffers = { indices: [indices, n], x: [x, T * n], y: [y, T * V] } as const;
  rec.dispatch({ name: 'token_columns_bwd', params: { T, V, n }, buffers, threads: T * n });
}
