/** Rotary embedding and grouped-query causal attention as ops. */
import type { Tensor } from '../../gpu/tensor.ts';
import { attentionBwd, attentionFwd } from '../../kernels/attention.ts';
import { cacheAppend } from '../../kernels/cache.ts';
import { ropeBwd, ropeFwd } from '../../kernels/rope.ts';
import { type KeysAndValues, type OpContext, onceIfSelective, output } from './context.ts';

export type RopeTables = { readonly cos: Tensor; readonly sin: Tensor };
/** Query heads, key/value heads, head dim, keys that a query sees at most (null for all), and the factor of the scores. */
export type Heads = {
  readonly H: number;
  readonly K: number;
  readonly D: number;
  readonly window: number | null;
  readonly scale: number;
};

/** Rotates x (T, heads * D) in place; backward rotates its gradient back, in place too. */
export function applyRope(
  { tape, B, S, positions, phase }: OpContext,
  x: Tensor,
  { cos, sin }: RopeTables,
  heads: number,
  D: number,
): void {
  const shape = {
    T: B * S,
    S,
    heads,
    D,
    cos,
    sin,
    positions,
    ...(phase === 'decode' ? { atCursor: cos.shape[0] } : {}),
  };
  tape.inPlace(x, () => ropeFwd(tape, { ...shape, x }));
  tape.onBackward([x], () => ropeBwd(tape, { ...shape, x: tape.gradOf(x) }));
}

/**
 * Puts k and v (T, K*D) of a layer behind what the cache holds, where there is one.
 * @returns what attention reads instead of them: while decoding, the cache
 */
export function appendToCache(ctx: OpContext, layer: number, { k, v }: KeysAndValues): KeysAndValues | null {
  const { tape, B, S, cache, phase } = ctx;
  const held = cache?.layers[layer];
  if (cache === undefined || held === undefined) return null;
  const { pageTokens, pagesPerRow } = cache;
  cacheAppend(tape, { B, S, W: k.elements / (B * S), pageTokens, pagesPerRow, k, v, keys: held.k, values: held.v });
  return phase === 'decode' ? held : null;
}

/**
 * q (T, H*D), k and v (T, K*D) or, decoding, the rows of the cache -> o (T, H*D), each document of `ctx.documents` by itself.
 * Memory is linear in S: only the log-sum-exp of each row is kept for backward.
 */
export function attention(
  ctx: OpContext,
  label: string,
  { q, k, v }: Record<'q' | 'k' | 'v', Tensor>,
  heads: Heads,
): Tensor {
  const { tape, B, S, computeDtype, documents, phase, cache } = ctx;
  const paging = phase === 'decode' ? cache : undefined;
  const lengths = paging ? { Tq: S, Tk: paging.pageTokens * paging.pagesPerRow, paging } : { Tq: S, Tk: S };
  const shape = { B, ...lengths, ...heads, computeDtype, ...(documents && { documents }) };
  const { o, lse } = onceIfSelective(ctx, () => {
    const o = output(tape, `${label}.o`, q.shape, [q, k, v]);
    const lse = tape.tensor(`${label}.lse`, [B * S, heads.H]);
    attentionFwd(tape, { ...shape, q, k, v, o, lse });
    return { o, lse };
  });
  tape.onBackward([o], () => {
    const dO = tape.gradOf(o);
    const delta = tape.tensor(`${label}.delta`, [B * S, heads.H], { category: 'workspace' });
    // q, k and v are read by this op alone, so that each has exactly this one gradient writer.
    const [dq, dk, dv] = [q, k, v].map((t) => tape.gradTarget(t).grad) as [Tensor, Tensor, Tensor];
    attentionBwd(tape, { ...shape, q, k, v, o, lse, dO, delta, dq, dk, dv });
  });
  return o;
}
