/** Causal attention with grouped queries, a window and packed documents, memory linear in S; on the best tier of the device. */
import { KernelCallError } from '../errors.ts';
import type { DeviceProfile, Tier } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type AttentionBwd, type AttentionFwd, type AttentionInputs, prepare } from './attention-call.ts';
import { decodeFwd, planDecode } from './attention-decode.ts';
import { directBwd, directFwd } from './attention-direct.ts';
import { planSimtBlocks, type SimtBlocks, simtBwd, simtFwd } from './attention-simt.ts';
import { type MatrixBlocks, matrixBwd, matrixFwd, planMatrixBlocks } from './attention-subgroup-matrix.ts';

export type { AttentionBwd, AttentionFwd, AttentionShape } from './attention-call.ts';

type PlanOf<Blocks> = { readonly reason: string } & (
  | { readonly tier: 'direct' }
  | { readonly tier: 'simt'; readonly blocks: SimtBlocks }
  /** Reads q, k and v in f16. */
  | { readonly tier: 'subgroup_matrix'; readonly blocks: Blocks }
);
/** The kernels that forward and backward take: not always those of one tier. */
export type AttentionPlan = {
  readonly forward: PlanOf<MatrixBlocks<'fwd'>>;
  readonly backward: PlanOf<MatrixBlocks<'dq' | 'dkv'>>;
};

/**
 * The kernels that attention takes: those of the profile's tier, or the next below that can, and why. Depends on nothing
 * else, so that an estimate plans the same.
 */
export function planAttention(profile: DeviceProfile, computeDtype: 'f32' | 'f16', D: number): AttentionPlan {
  return {
    forward: planPass(profile, computeDtype, D, () => planMatrixBlocks(profile, D, ['fwd'])),
    backward: planPass(profile, computeDtype, D, () => planMatrixBlocks(profile, D, ['dq', 'dkv'])),
  };
}

function planPass<Blocks extends object>(
  profile: DeviceProfile,
  computeDtype: 'f32' | 'f16',
  D: number,
  planBlocks: () => Blocks | string,
): PlanOf<Blocks> {
  const below = (tier: Tier, why: string): string => (profile.tier === tier ? '' : `no ${profile.tier}: ${why}`);
  if (profile.tier === 'direct') return { tier: 'direct', reason: `the tier of ${profile.name}` };
  let why = '';
  if (profile.tier === 'subgroup_matrix') {
    const blocks = computeDtype === 'f16' ? planBlocks() : 'compute_dtype is float32';
    if (typeof blocks !== 'string') return { tier: 'subgroup_matrix', blocks, reason: `the tier of ${profile.name}` };
    why = blocks;
  }
  const simt = planSimtBlocks(profile, D);
  if (typeof simt !== 'string')
    return { tier: 'simt', blocks: simt, reason: below('simt', why) || `the tier of ${profile.name}` };
  return { tier: 'direct', reason: below('direct', [why, simt].filter((w) => w !== '').join('; ')) };
}

/** Refuses q, k or v of another type than the kernels of a pass read. */
function requireDtype(kernel: string, { tier }: { readonly tier: Tier }, { q, k, v }: AttentionInputs): void {
  const wanted = tier === 'subgroup_matrix' ? 'f16' : 'f32';
  for (const { label, dtype } of [q, k, v])
    if (dtype !== wanted) throw new KernelCallError(kernel, `${label} is ${dtype}, and ${tier} reads ${wanted}`);
}

/**
 * o = softmax(q . k^T * scale) . v over the last `window` keys of its document up to each query. From a cache a GPU takes kernels of its
 * own, since the others stage whole blocks of queries, and decoding has one query.
 */
export function attentionFwd(rec: Recorder, call: AttentionFwd): void {
  prepare('attention_fwd', call);
  if (call.paging) {
    requireDtype('attention_fwd', { tier: 'direct' }, call);
    const plan = rec.profile.tier === 'direct' ? '' : planDecode(rec.profile, call);
    if (typeof plan === 'string') directFwd(rec, call);
    else decodeFwd(rec, { ...call, paging: call.paging }, plan);
    return;
  }
  const { forward: plan } = planAttention(rec.profile, call.computeDtype ?? 'f32', call.D);
  requireDtype('attention_fwd', plan, call);
  if (plan.tier === 'direct') directFwd(rec, call);
  else if (plan.tier === 'simt') simtFwd(rec, call, plan.blocks);
  else matrixFwd(rec, call, plan.blocks);
}

/**
 * delta = rowsum(dO * o); then dq by query, and dk and dv by key. All outputs are stored, not added to. On matrices, which round dO
 * to f16 as well, dv may be f16.
 */
export function attentionBwd(rec: Recorder, call: AttentionBwd): void {
  const { query, heads } = prepare('attention_bwd', call);
  if (call.paging) throw new KernelCallError('attention_bwd', 'reads no cache');
  const { backward: plan } = planAttention(rec.profile, call.computeDtype ?? 'f32', call.D);
  requireDtype('attention_bwd', plan, call);
  const half =
    plan.tier === 'subgroup_matrix' ? rec.tensor(`${call.dO.label}.half`, call.dO.shape, { dtype: 'f16' }) : null;
  rec.dispatch({
    name: 'attention_delta',
    when: [...(half ? ['TO_F16'] : []), ...(call.o.dtype === 'f16' ? ['O_F16'] : [])],
    params: { rows: heads, D4: call.D / 4 },
    buffers: {
      dO: [call.dO, query],
      o: [call.o, query],
      delta: [call.delta, heads],
      ...(half && { half: [half, query] }),
    },
    threads: heads,
  });
  if (plan.tier === 'direct') directBwd(rec, call);
  else if (plan.tier === 'simt') simtBwd(rec, call, plan.blocks);
  else if (half !== null) matrixBwd(rec, { ...call, dO: half }, plan.blocks);
}
