/** Rotary embedding and grouped-query causal attention as ops. */
import type { Tensor } from '../../gpu/tensor.ts';
import { attentionBwd, attentionFwd } from '../../kernels/attention.ts';
import { ropeBwd, ropeFwd } from '../../kernels/rope.ts';
import { type OpContext, onceIfSelective, output } from './context.ts';

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
  { tape, B, S, positions, cache }: OpContext,
  x: Tensor,
  { cos, sin }: RopeTables,
  heads: number,
  D: number,
): void {
  const shape = { T: B * S, S, heads, D, cos, sin, positions, atCursor: cache?.capacity };
  tape.inPlace(x, () => ropeFwd(tape, { ...shape, x }));
  tape.onBackward([x], () => ropeBwd(tape, { ...shape, x: tape.gradOf(x) }));
}

/**
 * q (T, H*D), k and v (T, K*D) or, with a cache, all that it holds -> o (T, H*D), each document of `ctx.documents` by itself.
 * Memory is linear in S: only the log-sum-exp of each row is kept for backward.
 */
export function attention(
  ctx: OpContext,
  label: string,
  { q, k, v }: Record<'q' | 'k' | 'v', Tensor>,
  heads: Heads,
): Tensor {
  const { tape, B, S, computeDtype, documents, cache } = ctx;
  const lengths = cache === undefined ? { Tq: S, Tk: S } : { Tq: S, Tk: cache.capacity, atCursor: true };
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
