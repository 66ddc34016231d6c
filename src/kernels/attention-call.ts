/** What the tiers of attention share: its shape, its calls, and their checks. */
import { KernelCallError } from '../errors.ts';
import type { Tensor } from '../gpu/tensor.ts';

/** B sequences of S tokens, H query heads over K key/value heads, head dim D. Right padding is left to the loss to ignore. */
export type AttentionShape = {
  B: number;
  S: number;
  H: number;
  K: number;
  D: number;
  /** Keys that a query sees at most, itself among them; null for all before it. */
  window: number | null;
  /** Factor of the scores. */
  scale: number;
  /**
   * Documents packed into the rows, both (B*S) u32: by its place in the row, of each token the first of its document and the
   * one past its last. Neither may fall along a row, and starts[s] <= s < ends[s].
   */
  documents?: { readonly starts: Tensor; readonly ends: Tensor };
  /** Operands of the products on tensor cores are f16 where this is; everything else is f32 always. */
  computeDtype?: 'f32' | 'f16';
};

export type AttentionFwd = AttentionShape & {
  q: Tensor; //   (B*S, H*D) in, after RoPE
  k: Tensor; //   (B*S, K*D) in, after RoPE
  v: Tensor; //   (B*S, K*D) in
  o: Tensor; //   (B*S, H*D) out
  lse: Tensor; // (B*S, H)   out, read by the backward
};

export type AttentionBwd = AttentionShape & {
  q: Tensor; //     (B*S, H*D) in
  k: Tensor; //     (B*S, K*D) in
  v: Tensor; //     (B*S, K*D) in
  o: Tensor; //     (B*S, H*D) in
  lse: Tensor; //   (B*S, H)   in
  dO: Tensor; //    (B*S, H*D) in
  delta: Tensor; // (B*S, H)   workspace
  dq: Tensor; //    (B*S, H*D) out
  dk: Tensor; //    (B*S, K*D) out
  dv: Tensor; //    (B*S, K*D) out
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

/** Element counts of what is as large as q, as k, and of one number per query head; and what every tier's shaders take. */
export function prepare(kernel: string, { B, S, H, K, D, window, scale, documents }: AttentionShape): Prepared {
  if (D % 4 !== 0) throw new KernelCallError(kernel, `head dim ${D} is not a multiple of 4`);
  if (H % K !== 0) throw new KernelCallError(kernel, `${H} query heads do not divide among ${K} key/value heads`);
  if (window !== null && window < 1) throw new KernelCallError(kernel, `a window of ${window} hides every key`);
  const rows = B * S;
  return {
    query: rows * H * D,
    key: rows * K * D,
    heads: rows * H,
    params: { B, S, H, K, window: Math.min(window ?? S, S), scale },
    packed: documents === undefined ? [] : ['PACKED'],
    starts: documents === undefined ? {} : { starts: [documents.starts, rows] },
    ends: documents === undefined ? {} : { ends: [documents.ends, rows] },
  };
}

/** Inputs of both backward kernels, with the elements that they read. */
export function backwardInputs({ q, k, v, dO, lse, delta }: AttentionBwd, { query, key, heads }: Prepared): Buffers {
  return {
    ...{ q: [q, query], k: [k, key], v: [v, key], dO: [dO, query] },
    ...{ lse: [lse, heads], delta: [delta, heads] },
  };
}
