/** f64 references of causal attention with grouped queries and a window, the whole score row in memory. */
import type { Vec } from './compare.ts';

/**
 * B sequences of S tokens; H query heads share K key/value heads (H a multiple of K); head dim D. Query s sees the keys
 * from s - window + 1 to s, or from 0 where window is null.
 */
export type AttentionShape = {
  B: number;
  S: number;
  H: number;
  K: number;
  D: number;
  window: number | null;
  scale: number;
  /** (B*S) packed documents: the first key of each query's document, by its place in the row. */
  starts?: Vec;
};

const hidden = ({ S, window, starts }: AttentionShape, b: number, s: number, j: number) =>
  j > s || (window !== null && j <= s - window) || (starts !== undefined && j < starts[b * S + s]!);

/** q (B*S, H*D), k and v (B*S, K*D) -> o (B*S, H*D) and lse (B*S, H), the log-sum-exp of the scaled scores. */
export function attentionFwdRef(shape: AttentionShape, q: Vec, k: Vec, v: Vec) {
  const { B, S, H, K, D, scale } = shape;
  const o = new Float64Array(B * S * H * D);
  const lse = new Float64Array(B * S * H);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const kv = Math.floor(h / (H / K));
      for (let s = 0; s < S; s++) {
        const row = b * S + s;
        const scores = new Float64Array(S).fill(Number.NEGATIVE_INFINITY);
        for (let j = 0; j < S; j++) {
          if (hidden(shape, b, s, j)) continue;
          let sum = 0;
          for (let d = 0; d < D; d++) sum += q[(row * H + h) * D + d]! * k[((b * S + j) * K + kv) * D + d]!;
          scores[j] = sum * scale;
        }
        const max = scores.reduce((a, c) => Math.max(a, c));
        const total = scores.reduce((a, c) => a + Math.exp(c - max), 0);
        lse[row * H + h] = max + Math.log(total);
        for (let j = 0; j < S; j++) {
          const p = Math.exp(scores[j]! - lse[row * H + h]!);
          for (let d = 0; d < D; d++) o[(row * H + h) * D + d]! += p * v[((b * S + j) * K + kv) * D + d]!;
        }
      }
    }
  }
  return { o, lse };
}

/** Given d(o) (B*S, H*D): delta (B*S, H) = rowsum(do*o), dq (B*S, H*D), dk and dv (B*S, K*D). */
export function attentionBwdRef(shape: AttentionShape, q: Vec, k: Vec, v: Vec, o: Vec, lse: Vec, dO: Vec) {
  const { B, S, H, K, D, scale } = shape;
  const dq = new Float64Array(B * S * H * D);
  const dk = new Float64Array(B * S * K * D);
  const dv = new Float64Array(B * S * K * D);
  const delta = new Float64Array(B * S * H);
  for (let i = 0; i < B * S * H * D; i++) delta[Math.floor(i / D)]! += dO[i]! * o[i]!;
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const kv = Math.floor(h / (H / K));
      for (let s = 0; s < S; s++) {
        const row = (b * S + s) * H + h;
        for (let j = 0; j < S; j++) {
          if (hidden(shape, b, s, j)) continue;
          const key = (b * S + j) * K + kv;
          let score = 0;
          let dp = 0;
          for (let d = 0; d < D; d++) {
            score += q[row * D + d]! * k[key * D + d]!;
            dp += dO[row * D + d]! * v[key * D + d]!;
          }
          const p = Math.exp(score * scale - lse[row]!);
          const ds = p * (dp - delta[row]!) * scale;
          for (let d = 0; d < D; d++) {
            dq[row * D + d]! += ds * k[key * D + d]!;
            dk[key * D + d]! += ds * q[row * D + d]!;
            dv[key * D + d]! += p * dO[row * D + d]!;
          }
        }
      }
    }
  }
  return { delta, dq, dk, dv };
}
