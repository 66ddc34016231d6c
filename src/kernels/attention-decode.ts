/** Host side of shaders/attention_decode.wgsl and attention_combine.wgsl: queries at the end of a paged cache, a workgroup for each head of keys. */
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type AttentionFwd, type AttentionShape, prepare } from './attention-call.ts';
import { type Paging, pagingConstants } from './cache.ts';

/** Invocations of a workgroup, and lanes that share a key: TEAM_LANES and PARTS of the shader. */
const LANES = 128;
const KEY_PARTS = 8;
/** Query heads of a workgroup at most, and elements of their queries: more would fill registers and workgroup memory. */
const MOST_HEADS = 8;
const MOST_QUERY = 1024;
/** Keys times heads of a round, whose scores are two to a lane. */
const ROUND_SCORES = 2 * LANES;
/** Workgroups that keep a large GPU's memory busy, and parts beyond which adding them up costs more than they bring. */
const WANTED_WORKGROUPS = 1024;
const MOST_SPLITS = 32;

export type DecodePlan = {
  /** Query heads of a workgroup, which share their keys and values. */
  readonly heads: number;
  /** Keys of a round. */
  readonly chunk: number;
  /** Lanes that share the scores of a head. */
  readonly team: number;
  /** Parts that the keys of a query are cut into. */
  readonly splits: number;
};

/** How a decoding attention is cut; or why this tier cannot do it. */
export function planDecode(
  { limits }: Pick<DeviceProfile, 'limits'>,
  { B, Tq, Tk, H, K, D, window }: Omit<AttentionShape, 'scale'>,
): DecodePlan | string {
  if (D > 4 * LANES) return `a head dim of ${D} is above ${4 * LANES}`;
  if (limits.maxComputeInvocationsPerWorkgroup < LANES)
    return `it allows ${limits.maxComputeInvocationsPerWorkgroup} invocations per workgroup`;
  const shared = H / K;
  const heads = largestDivisor(shared, Math.min(MOST_HEADS, Math.floor(MOST_QUERY / D)));
  const room = 2 ** Math.ceil(Math.log2(heads));
  const chunk = ROUND_SCORES / room;
  const bytes = workgroupBytes(heads, chunk, D);
  if (bytes > limits.maxComputeWorkgroupStorageSize)
    return `it allows ${limits.maxComputeWorkgroupStorageSize} bytes of workgroup memory, and this takes ${bytes}`;
  const groups = (B * Tq * H) / heads;
  // a window begins at a multiple of four
  const keys = window === null ? Tk : Math.min(Tk, window + 3);
  const wanted = Math.ceil(WANTED_WORKGROUPS / groups);
  const splits = Math.max(1, Math.min(wanted, MOST_SPLITS, Math.ceil(keys / chunk)));
  return { heads, chunk, team: LANES / room, splits };
}

/** Bytes of the shader's workgroup variables. */
function workgroupBytes(heads: number, chunk: number, D: number): number {
  const floats = KEY_PARTS * (chunk * heads + 1) + chunk * heads + chunk / 4 + 2 * heads + 2 * LANES;
  return 16 * vectorsOf(heads, D) + 4 * floats;
}

/** Vectors that the queries take, padded to whole parts; each lane has one at the end. */
const vectorsOf = (heads: number, D: number): number =>
  Math.max(heads * Math.ceil(D / 4 / KEY_PARTS) * KEY_PARTS, LANES);

function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, Math.max(1, most)); ; d--) if (n % d === 0) return d;
}

/** Records attention over the cache, in two dispatches and with a workspace of its parts where the keys are cut. */
export function decodeFwd(
  rec: Recorder,
  { q, k, v, o, lse, ...shape }: AttentionFwd & { readonly paging: Paging },
  { heads, chunk, team, splits }: DecodePlan,
): void {
  const { query, key, heads: all, params } = prepare('attention_decode', shape);
  const { D, paging } = shape;
  const workspace = { category: 'workspace' } as const;
  const isSplit = splits > 1;
  const parts = isSplit ? rec.tensor(`${o.label}.parts`, [all, splits, D], workspace) : null;
  const stats = isSplit ? rec.tensor(`${o.label}.stats`, [all, splits, 2], workspace) : null;
  const cut = { D4: D / 4, CHUNK: chunk, SPLITS: splits };
  rec.dispatch({
    name: 'attention_decode',
    when: [...(isSplit ? ['SPLIT'] : []), ...(chunk < 4 * (LANES / KEY_PARTS) ? ['NARROW'] : [])],
    constants: {
      ...cut,
      HEADS: heads,
      TEAM: team,
      VECTORS: vectorsOf(heads, D),
      ...pagingConstants('attention_decode', paging),
    },
    params,
    buffers: {
      q: [q, query],
      k: [k, key],
      v: [v, key],
      ...(parts && stats
        ? { o: [parts, query * splits] as const, stats: [stats, 2 * all * splits] as const }
        : { o: [o, query] as const, lse: [lse, all] as const }),
    },
    workgroups: (all / heads) * splits,
  });
  if (parts === null || stats === null) return;
  const { B, S, H, window } = params as Record<'B' | 'S' | 'H' | 'window', number>;
  rec.dispatch({
    name: 'attention_combine',
    constants: cut,
    params: { B, S, H, window },
    buffers: { parts, stats, o: [o, query], lse: [lse, all] },
    threads: query / 4,
  });
}
