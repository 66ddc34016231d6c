/** Host side of shaders/attention_{fwd,delta,bwd_dq,bwd_dkv}.wgsl: causal attention with grouped queries, memory linear in S. */
import { KernelCallError } from '../errors.ts';
import type { Tape } from '../gpu/tape.ts';
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
};

export type AttentionFwd = AttentionShape & {
  q: Tensor; //   (B*S, H*D) in, after RoPE
  k: Tensor; //   (B*S, K*D) in, after RoPE
  v: Tensor; //   (B*S, K*D) in
  o: Tensor; //   (B*S, H*D) out
  lse: Tensor; // (B*S, H)   out, read by the backward
};

/** o = softmax(q . k^T * scale) . v over the last `window` keys up to each query. */
export function attentionFwd(tape: Tape, { q, k, v, o, lse, ...shape }: AttentionFwd): void {
  const { query, key, heads, params, constants } = prepare('attention_fwd', shape);
  tape.dispatch({
    name: 'attention_fwd',
    constants,
    params,
    buffers: { q: [q, query], k: [k, key], v: [v, key], o: [o, query], lse: [lse, heads] },
    threads: heads,
  });
}

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

/** Three dispatches: delta = rowsum(dO * o); dq by query; dk and dv by key. All outputs are stored, not added to. */
export function attentionBwd(tape: Tape, call: AttentionBwd): void {
  const { q, k, v, o, lse, dO, delta, dq, dk, dv, ...shape } = call;
  const { query, key, heads, params, constants } = prepare('attention_bwd', shape);
  tape.dispatch({
    name: 'attention_delta',
    params: { rows: heads, D4: constants.D4 },
    buffers: { dO: [dO, query], o: [o, query], delta: [delta, heads] },
    threads: heads,
  });
  const inputs = {
    q: [q, query],
    k: [k, key],
    v: [v, key],
    dO: [dO, query],
    lse: [lse, heads],
    delta: [delta, heads],
  } as const;
  tape.dispatch({
    name: 'attention_bwd_dq',
    constants,
    params,
    buffers: { ...inputs, dq: [dq, query] },
    threads: heads,
  });
  tape.dispatch({
    name: 'attention_bwd_dkv',
    constants,
    params,
    buffers: { ...inputs, dk: [dk, key], dv: [dv, key] },
    threads: shape.B * shape.S * shape.K,
  });
}

/** Element counts of what is as large as q, as k, and of one number per query head. */
function prepare(kernel: string, { B, S, H, K, D, window, scale }: AttentionShape) {
  if (D % 4 !== 0) throw new KernelCallError(kernel, `head dim ${D} is not a multiple of 4`);
  if (H % K !== 0) throw new KernelCallError(kernel, `${H} query heads do not divide among ${K} key/value heads`);
  if (window !== null && window < 1) throw new KernelCallError(kernel, `a window of ${window} hides every key`);
  const rows = B * S;
  return {
    query: rows * H * D,
    key: rows * K * D,
    heads: rows * H,
    params: { B, S, H, K, window: Math.min(window ?? S, S), scale },
    constants: { D4: D / 4 },
  };
}
