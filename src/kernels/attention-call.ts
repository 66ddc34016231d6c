/** The shape of attention, its calls and their checks, for all tiers. */
import { KernelCallError } from '../errors.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Paging } from './cache.ts';

/** B rows of queries and keys, H query heads over K key/value heads, head dim D. The loss ignores right padding. */
export type AttentionShape = {
  B: number;
  /** Queries and keys of a row: as many of either, unless the keys are in a cache. */
  Tq: number;
  Tk: number;
  /**
   * The first query of every row stands at its position in the ambient binding `cursor`, and its keys from 0 on in the pages of a
   * cache, Tk at most; forward only. Absent: both begin at 0.
   */
  paging?: Paging;
  H: number;
  K: number;
  D: number;
  /** Keys that a query sees at most, itself among them; null for all before it. */
  window: number | null;
  /** Factor of the scores. */
  scale: number;
  /**
   * Documents packed into the rows, both (B*Tk) u32: for each token, the place in the row of its document's first token and the
   * one past the last. Neither may fall along a row, and starts[s] <= s < ends[s].
   */
  documents?: { readonly starts: Tensor; readonly ends: Tensor };
  /** float16: operands of the products on tensor cores are f16; everything else is always f32. */
  computeDtype?: 'f32' | 'f16';
};

/** f16 where the kernels are those of matrices, else f32. */
export type AttentionInputs = {
  q: Tensor; //   (B*Tq, H*D) in, after RoPE
  k: Tensor; //   (B*Tk, K*D) in, after RoPE; or the rows of a cache
  v: Tensor; //   (B*Tk, K*D) in; likewise
};

export type AttentionFwd = AttentionShape &
  AttentionInputs & {
    o: Tensor; //   (B*Tq, H*D) out
    lse: Tensor; // (B*Tq, H)   out, read by the backward
  };

/** T: queries and keys of a row. */
export type AttentionBwd = AttentionShape &
  AttentionInputs & {
    o: Tensor; //     (B*T, H*D) in
    lse: Tensor; //   (B*T, H)   in
    dO: Tensor; //    (B*T, H*D) in
    delta: Tensor; // (B*T, H)   workspace
    dq: Tensor; //    (B*T, H*D) out
    dk: Tensor; //    (B*T, K*D) out
    dv: Tensor; //    (B*T, K*D) out
  };

type Buffers = Readonly<Record<string, readonly [Tensor, elements: number]>>;
type Prepared = {
  readonly query: number;
  readonly key: number;
  readonly heads: number;
  readonly params: Readonly<Record<string, number>>;
  readonly packed: readonly string[];
  readonly starts: Buffers;
  readonly ends: Buffers;
};

/** Element counts of q (and o), of k (and v) and of one number per query head; and the Params that every tier's shaders share. */
export function prepare(kernel: string, shape: AttentionShape): Prepared {
  const { B, Tq, Tk, paging, H, K, D, window, scale, documents } = shape;
  const isPaged = paging !== undefined;
  if (D % 4 !== 0) throw new KernelCallError(kernel, `head dim ${D} is not a multiple of 4`);
  if (H % K !== 0) throw new KernelCallError(kernel, `${H} query heads do not divide among ${K} key/value heads`);
  if (window !== null && window < 1) throw new KernelCallError(kernel, `a window of ${window} hides every key`);
  if (isPaged ? documents !== undefined || Tq > Tk : Tq !== Tk)
    throw new KernelCallError(
      kernel,
      `${Tq} queries ${isPaged ? 'at the cursor ' : ''}do not go with ${Tk} keys of a row`,
    );
  const rows = B * Tk;
  return {
    query: B * Tq * H * D,
    // how many rows a cache has is its maker's to know
    key: (isPaged ? Tq : rows) * K * D,
    heads: B * Tq * H,
    params: { B, S: Tq, H, K, window: Math.min(window ?? Tk, Tk), scale },
    packed: documents === undefined ? [] : ['PACKED'],
    starts: documents === undefined ? {} : { starts: [documents.starts, rows] },
    ends: documents === undefined ? {} : { ends: [documents.ends, rows] },
  };
}

/** Inputs of both backward kernels, with the elements that they read. */
export function backwardInputs({ q, k, v, dO, lse, delta }: AttentionBwd, { query, key, heads }: Prepared): Buffers {
  return {
    q: [q, query],
    k: [k, key],
    v: [v, key],
    dO: [dO, query],
    lse: [lse, heads],
    delta: [delta, heads],
  };
}
