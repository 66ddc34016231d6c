/** Rotary embedding and grouped-query causal attention as an op. */
import type { Tensor } from '../../gpu/tensor.ts';
import { type AttentionBwd, attentionBwd, attentionFwd, planAttention } from '../../kernels/attention.ts';
import { qkGradients, qkvOperands } from '../../kernels/attention-operands.ts';
import { cacheAppend } from '../../kernels/cache.ts';
import { ropeBwd, ropeFwd } from '../../kernels/rope.ts';
import { type KeysAndValues, type OpContext, onceIfSelective, operandDtype, output } from './context.ts';

export type RopeTables = { readonly cos: Tensor; readonly sin: Tensor };
/** Query heads, key/value heads, head dim, keys that a query sees at most (null for all), and the factor of the scores. */
export type Heads = {
  readonly H: number;
  readonly K: number;
  readonly D: number;
  readonly window: number | null;
  readonly scale: number;
};
/** An attention of a model: its place among the layers counts for a cache alone. */
export type Attention = {
  readonly label: string;
  readonly index: number;
  readonly heads: Heads;
  /** Null where q and k are not turned by their positions. */
  readonly rope: RopeTables | null;
};
type Qkv = { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };

/**
 * q (T, H*D), k and v (T, K*D) -> o (T, H*D), while decoding over the rows of the cache, each document of `ctx.documents` by itself. q
 * and k may be turned in place. Memory is linear in S: only the log-sum-exp of each row is kept for backward.
 */
export function attention(ctx: OpContext, of: Attention, qkv: Qkv): Tensor {
  const { tape, computeDtype, cache, phase } = ctx;
  const { forward, backward } = planAttention(tape.profile, computeDtype, of.heads.D);
  const onMatrices = forward.tier === 'subgroup_matrix' && phase !== 'decode';
  if (onMatrices && cache === undefined && (backward.tier === 'subgroup_matrix' || phase !== 'train')) {
    const half = roundOperands(ctx, of, qkv, of.rope);
    return attend(ctx, of, half, half, () => backwardOfHalves(ctx, of, qkv));
  }
  turnInPlace(ctx, of, qkv);
  const seen = { ...qkv, ...appendToCache(ctx, of.index, qkv) };
  return attend(ctx, of, onMatrices ? roundOperands(ctx, of, seen, null) : seen, seen, () => {
    // q, k and v are read by this op alone, so that each has exactly this one gradient writer.
    const [dq, dk, dv] = [qkv.q, qkv.k, qkv.v].map((t) => tape.gradTarget(t).grad) as [Tensor, Tensor, Tensor];
    return { dq, dk, dv, finish: () => {} };
  });
}

/**
 * Puts k and v (T, K*D) of a layer behind what the cache holds, where there is one.
 * @returns what attention reads instead of them: while decoding, the cache
 */
function appendToCache(ctx: OpContext, layer: number, { k, v }: KeysAndValues): KeysAndValues | null {
  const { tape, B, S, cache, phase } = ctx;
  const held = cache?.layers[layer];
  if (cache === undefined || held === undefined) return null;
  const { pageTokens, pagesPerRow } = cache;
  cacheAppend(tape, { B, S, W: k.elements / (B * S), pageTokens, pagesPerRow, k, v, keys: held.k, values: held.v });
  return phase === 'decode' ? held : null;
}

/** Where a pass leaves the gradients of q, k and v as it read them, and what brings those of q and k to their producers. */
type Gradients = Pick<AttentionBwd, 'dq' | 'dk' | 'dv'> & { readonly finish: () => void };

/** @param forward and `backward`: q, k and v in the form that the kernels of each read */
function attend(ctx: OpContext, of: Attention, forward: Qkv, backward: Qkv, gradients: () => Gradients): Tensor {
  const { tape, B, S, computeDtype, documents, phase, cache } = ctx;
  const { label, heads } = of;
  const paging = phase === 'decode' ? cache : undefined;
  const lengths = paging ? { Tq: S, Tk: paging.pageTokens * paging.pagesPerRow, paging } : { Tq: S, Tk: S };
  const shape = { B, ...lengths, ...heads, computeDtype, ...(documents && { documents }) };
  const { o, lse } = onceIfSelective(ctx, () => {
    const inputs = [forward.q, forward.k, forward.v];
    const dtype = forward.q.dtype === 'f16' ? operandDtype(ctx, heads.H * heads.D) : 'f32';
    const o = output(tape, `${label}.o`, forward.q.shape, inputs, dtype);
    const lse = tape.tensor(`${label}.lse`, [B * S, heads.H]);
    attentionFwd(tape, { ...shape, ...forward, o, lse });
    return { o, lse };
  });
  tape.onBackward([o], () => {
    const dO = tape.gradOf(o);
    const delta = tape.tensor(`${label}.delta`, [B * S, heads.H], { category: 'workspace' });
    const { finish, ...grads } = gradients();
    attentionBwd(tape, { ...shape, ...backward, o, lse, dO, delta, ...grads });
    finish();
  });
  return o;
}

/** Rotates q and k in place; backward rotates their gradients back, in place too. */
function turnInPlace({ tape, B, S, positions, phase }: OpContext, { heads, rope }: Attention, { q, k }: Qkv): void {
  if (rope === null) return;
  const atCursor = phase === 'decode' ? { atCursor: rope.cos.shape[0] } : {};
  const shape = { T: B * S, S, D: heads.D, ...rope, positions, ...atCursor };
  for (const [x, count] of [
    [q, heads.H],
    [k, heads.K],
  ] as const) {
    tape.inPlace(x, () => ropeFwd(tape, { ...shape, heads: count, x }));
    tape.onBackward([x], () => ropeBwd(tape, { ...shape, heads: count, x: tape.gradOf(x) }));
  }
}

/** q, k and v in f16, q and k turned where `rope` is given. */
function roundOperands(
  { tape, B, S, positions }: OpContext,
  { label, heads: { H, K, D } }: Attention,
  { q, k, v }: Qkv,
  rope: RopeTables | null,
): Qkv {
  const halfOf = (name: string, { shape, requiresGrad }: Tensor) =>
    tape.tensor(`${label}.${name}`, shape, { dtype: 'f16', requiresGrad });
  const half = { q: halfOf('q', q), k: halfOf('k', k), v: halfOf('v', v) };
  const out = { qOut: half.q, kOut: half.k, vOut: half.v };
  qkvOperands(tape, { T: B * S, S, H, K, D, turn: rope && { ...rope, positions }, q, k, v, ...out });
  return half;
}

/** dq and dk as attention leaves them are turned back on their way to the gradients of q and k. */
function backwardOfHalves(ctx: OpContext, { label, heads: { H, K, D }, rope }: Attention, { q, k, v }: Qkv): Gradients {
  const { tape, B, S, positions } = ctx;
  const dv = tape.gradTarget(v, true).grad;
  const [gradOfQ, gradOfK] = [tape.gradTarget(q, true).grad, tape.gradTarget(k, true).grad];
  if (gradOfQ.dtype === 'f32' || gradOfK.dtype === 'f32') {
    const shape = { T: B * S, S, D, ...rope, positions };
    const finish = () => {
      if (rope === null) return;
      ropeBwd(tape, { ...shape, ...rope, heads: H, x: gradOfQ });
      ropeBwd(tape, { ...shape, ...rope, heads: K, x: gradOfK });
    };
    return { dq: gradOfQ, dk: gradOfK, dv, finish };
  }
  const turnedOf = (name: string, { shape }: Tensor) => tape.tensor(`${label}.d_${name}`, shape);
  const [dq, dk] = [turnedOf('q', q), turnedOf('k', k)];
  const finish = () => {
    const call = { q: dq, k: dk, qOut: gradOfQ, kOut: gradOfK };
    qkGradients(tape, { T: B * S, S, H, K, D, turn: rope && { ...rope, positions }, ...call });
  };
  return { dq, dk, dv, finish };
}
