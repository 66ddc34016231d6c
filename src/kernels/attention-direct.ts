/** Host side of shaders/attention_{fwd,bwd_dq,bwd_dkv}.wgsl: a thread per row, without workgroup memory. */
import type { Recorder } from '../gpu/recorder.ts';
import {
  type AttentionBwd,
  type AttentionFwd,
  type AttentionShape,
  backwardInputs,
  prepare,
} from './attention-call.ts';
import { pagingConstants } from './cache.ts';

export function directFwd(rec: Recorder, { q, k, v, o, lse, ...shape }: AttentionFwd): void {
  const sizes = prepare('attention_fwd', shape);
  const { query, key, heads, params, starts } = sizes;
  const { D, paging } = shape;
  rec.dispatch({
    name: 'attention_fwd',
    when: [...conditions(sizes, shape), ...(paging ? ['CURSOR'] : [])],
    constants: { D4: D / 4, ...(paging && pagingConstants('attention_fwd', paging)) },
    params,
    buffers: { q: [q, query], k: [k, key], v: [v, key], o: [o, query], lse: [lse, heads], ...starts },
    threads: heads,
  });
}

const conditions = ({ packed, params }: ReturnType<typeof prepare>, { Tk }: AttentionShape): string[] => [
  ...packed,
  ...((params.window as number) < Tk ? ['WINDOW'] : []),
];

/** dq by query; dk and dv by key. */
export function directBwd(rec: Recorder, call: AttentionBwd): void {
  const sizes = prepare('attention_bwd', call);
  const { query, key, heads, params, starts, ends } = sizes;
  const inputs = backwardInputs(call, sizes);
  const common = { when: conditions(sizes, call), constants: { D4: call.D / 4 }, params };
  rec.dispatch({
    name: 'attention_bwd_dq',
    ...common,
    buffers: { ...inputs, dq: [call.dq, query], ...starts },
    threads: heads,
  });
  rec.dispatch({
    name: 'attention_bwd_dkv',
    ...common,
    buffers: { ...inputs, dk: [call.dk, key], dv: [call.dv, key], ...ends },
    threads: call.B * call.Tk * call.K,
  });
}
