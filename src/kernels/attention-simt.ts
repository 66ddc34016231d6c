/** Host side of shaders/attention_{fwd,bwd}_simt.wgsl: blocks of rows against blocks of columns in workgroup memory, in f32. */
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type AttentionBwd, type AttentionFwd, backwardInputs, prepare } from './attention-call.ts';

/**
 * Rows of a workgroup and columns of a round, the part of the head dim staged for scores, and the columns staged for sums. A
 * thread has 4 x 4 scores, and 4 rows of the sums.
 */
export type SimtBlock = { readonly BR: number; readonly BC: number; readonly DK: number; readonly VK: number };

type Pass = 'fwd' | 'dq' | 'dkv';
export type SimtBlocks = Readonly<Record<Pass, SimtBlock>>;
type Block = Omit<SimtBlock, 'VK'>;

/** 16 threads share the head dim of a row's sums. */
const SQUARE: Block = { BR: 64, BC: 64, DK: 16 };
/** 32 threads do: half of the sums in a thread's registers, which hold little more on Apple's GPUs. */
const WIDE: Block = { BR: 32, BC: 128, DK: 16 };
/** For dk and dv at the widest heads, of which a thread has both sums. */
const WIDEST: Block = { BR: 16, BC: 256, DK: 8 };
/** Where memory is short. */
const SMALL: Block = { BR: 32, BC: 64, DK: 16 };
/** For software drivers, where the tier is only tested: llvmpipe 25.0 compiles the others for a quarter of a minute. */
const SOFTWARE: Block = { BR: 16, BC: 16, DK: 4 };
/** Above it a thread's sums (4 rows x D / 32, twice in dk and dv) outgrow the registers. */
const LARGEST_D = 256;

/** Blocks to try: 64 is the head dim up to which a thread's sums leave registers for the rest of the square one, 128 of the wide one. */
function blocksOf({ software }: Pick<DeviceProfile, 'software'>, pass: Pass, D: number): readonly Block[] {
  if (software) return [SOFTWARE];
  if (D <= 64) return [SQUARE, SMALL];
  return pass === 'dkv' && D > 128 ? [WIDEST, SMALL] : [WIDE, SMALL];
}
const LEAST_VK = 4;

const scoresVectors = ({ BR, BC, DK }: Block): number => DK * (BR / 4 + 1 + BC / 4 + 1);

/** Bytes of workgroup memory of either shader. */
function simtBlockBytes(block: SimtBlock, D: number): number {
  const stage = Math.max(scoresVectors(block), (block.VK * D) / 4);
  return 16 * (stage + block.BC * (block.BR / 4 + 1));
}

/** Blocks that the device has room for, by kernel; or why there are none. */
export function planSimtBlocks(profile: Pick<DeviceProfile, 'limits' | 'software'>, D: number): SimtBlocks | string {
  if (D > LARGEST_D) return `a head dim of ${D} is above ${LARGEST_D}`;
  const { maxComputeInvocationsPerWorkgroup: lanes, maxComputeWorkgroupStorageSize: bytes } = profile.limits;
  const [fwd, dq, dkv] = (['fwd', 'dq', 'dkv'] as const).map((pass) =>
    blocksOf(profile, pass, D)
      .map((b) => ({ ...b, VK: columnsStaged(b, D) }))
      .find((b) => (b.BR / 4) * (b.BC / 4) <= lanes && simtBlockBytes(b, D) <= bytes),
  );
  if (fwd && dq && dkv) return { fwd, dq, dkv };
  return `it allows ${lanes} invocations and ${bytes} bytes of memory per workgroup`;
}

/** As many as the memory of the scores' operands has room for: a power of two, so that whole rounds of it make BC. */
function columnsStaged(block: Block, D: number): number {
  const room = Math.min(block.BC, scoresVectors(block) / (D / 4));
  return Math.max(LEAST_VK, 2 ** Math.floor(Math.log2(room)));
}

export function simtFwd(rec: Recorder, { q, k, v, o, lse, ...shape }: AttentionFwd, { fwd: block }: SimtBlocks): void {
  const { query, key, heads, params, packed, starts } = prepare('attention_fwd', shape);
  rec.dispatch({
    name: 'attention_fwd_simt',
    when: packed,
    constants: { ...block, D4: shape.D / 4 },
    params,
    buffers: { q: [q, query], k: [k, key], v: [v, key], o: [o, query], lse: [lse, heads], ...starts },
    workgroups: Math.ceil(shape.Tq / block.BR) * shape.B * shape.H,
  });
}

/** dq by blocks of queries; dk and dv by blocks of keys. */
export function simtBwd(rec: Recorder, call: AttentionBwd, { dq, dkv }: SimtBlocks): void {
  const sizes = prepare('attention_bwd', call);
  const { query, key, params, packed, starts, ends } = sizes;
  const inputs = backwardInputs(call, sizes);
  const by = (block: SimtBlock, heads: number) => ({
    name: 'attention_bwd_simt',
    constants: { ...block, D4: call.D / 4 },
    params,
    workgroups: Math.ceil(call.Tq / block.BR) * call.B * heads,
  });
  rec.dispatch({
    ...by(dq, call.H),
    when: packed,
    buffers: { ...inputs, dq: [call.dq, query], ...starts },
  });
  rec.dispatch({
    ...by(dkv, call.K),
    when: ['BY_KEY', ...packed],
    buffers: { ...inputs, dk: [call.dk, key], dv: [call.dv, key], ...ends },
  });
}
