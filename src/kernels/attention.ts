/** Causal attention with grouped queries, a window and packed documents, memory linear in S; on the best tier of the device. */
import { KernelCallError } from '../errors.ts';
import type { DeviceProfile, Tier } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type AttentionBwd, type AttentionFwd, prepare } from './attention-call.ts';
import { directBwd, directFwd } from './attention-direct.ts';
import { planSimtBlock, type SimtBlock, simtBwd, simtFwd } from './attention-simt.ts';
import { type MatrixBlocks, matrixBwd, matrixFwd, planMatrixBlocks } from './attention-subgroup-matrix.ts';

export type { AttentionBwd, AttentionFwd, AttentionShape } from './attention-call.ts';

export type AttentionPlan = { readonly reason: string } & (
  | { readonly tier: 'direct' }
  | { readonly tier: 'simt'; readonly block: SimtBlock }
  | { readonly tier: 'subgroup_matrix'; readonly blocks: MatrixBlocks }
);

/**
 * The kernels that attention takes: those of the profile's tier, or the next below that can, and why. Depends on nothing
 * else, so that an estimate plans the same.
 */
export function planAttention(profile: DeviceProfile, computeDtype: 'f32' | 'f16', D: number): AttentionPlan {
  const below = (tier: Tier, why: string): string => (profile.tier === tier ? '' : `no ${profile.tier}: ${why}`);
  if (profile.tier === 'direct') return { tier: 'direct', reason: `the tier of ${profile.name}` };
  let why = '';
  if (profile.tier === 'subgroup_matrix') {
    const blocks = computeDtype === 'f16' ? planMatrixBlocks(profile, D) : 'compute_dtype is float32';
    if (typeof blocks !== 'string') return { tier: 'subgroup_matrix', blocks, reason: `the tier of ${profile.name}` };
    why = blocks;
  }
  const block = planSimtBlock(profile, D);
  if (typeof block !== 'string')
    return { tier: 'simt', block, reason: below('simt', why) || `the tier of ${profile.name}` };
  return { tier: 'direct', reason: below('direct', [why, block].filter((w) => w !== '').join('; ')) };
}

/**
 * o = softmax(q . k^T * scale) . v over the last `window` keys of its document up to each query. From a cache `direct` takes it on every
 * tier: the others stage whole blocks of queries, and decoding has one query.
 */
export function attentionFwd(rec: Recorder, call: AttentionFwd): void {
  prepare('attention_fwd', call);
  const plan = planAttention(rec.profile, call.computeDtype ?? 'f32', call.D);
  if (plan.tier === 'direct' || call.paging) directFwd(rec, call);
  else if (plan.tier === 'simt') simtFwd(rec, call, plan.block);
  else matrixFwd(rec, call, plan.blocks);
}

/** delta = rowsum(dO * o); then dq by query, and dk and dv by key. All outputs are stored, not added to. */
export function attentionBwd(rec: Recorder, call: AttentionBwd): void {
  const { query, heads } = prepare('attention_bwd', call);
  if (call.paging) throw new KernelCallError('attention_bwd', 'reads no cache');
  rec.dispatch({
    name: 'attention_delta',
    params: { rows: heads, D4: call.D / 4 },
    buffers: { dO: [call.dO, query], o: [call.o, query], delta: [call.delta, heads] },
    threads: heads,
  });
  const plan = planAttention(rec.profile, call.computeDtype ?? 'f32', call.D);
  if (plan.tier === 'direct') directBwd(rec, call);
  else if (plan.tier === 'simt') simtBwd(rec, call, plan.block);
  else matrixBwd(rec, call, plan.blocks);
}
