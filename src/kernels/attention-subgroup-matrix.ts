/** Host side of shaders/attention_{fwd,bwd}_subgroup_matrix.wgsl: attention on tensor cores, f16 operands and f32 sums. */
import { KernelCallError } from '../errors.ts';
import type { DeviceProfile, MatrixConfig } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type AttentionBwd, type AttentionFwd, backwardInputs, prepare } from './attention-call.ts';

/** A workgroup's grid of subgroups, each a matrix of rows high, and the columns of a round. */
export type MatrixBlock = { readonly WR: number; readonly WC: number; readonly BC: number };
export type MatrixBlocks = { readonly fwd: MatrixBlock; readonly dq: MatrixBlock; readonly dkv: MatrixBlock };
type Kernel = keyof MatrixBlocks;

/** Bindings of dk and dv's kernel with packed documents. */
const STORAGE_BUFFERS = 10;

/**
 * At 256 a lane of dk and dv's kernel would hold 128 registers of sums and as many of its own rows (matrices of 16x16 by 32 lanes, two
 * subgroups side by side), and NVIDIA has 255: `simt` keeps sums only. Not measured.
 */
const LARGEST_D = 128;

/** In the order of preference. Two subgroups side by side halve the sums of each; the kernel of dk and dv has two. */
const BLOCKS: Readonly<Record<Kernel, readonly MatrixBlock[]>> = {
  fwd: [
    { WR: 8, WC: 1, BC: 32 },
    { WR: 4, WC: 1, BC: 32 },
    { WR: 4, WC: 1, BC: 16 },
    { WR: 2, WC: 1, BC: 16 },
  ],
  dq: [
    { WR: 8, WC: 1, BC: 32 },
    { WR: 4, WC: 1, BC: 32 },
    { WR: 4, WC: 1, BC: 16 },
    { WR: 2, WC: 1, BC: 16 },
  ],
  dkv: [
    { WR: 4, WC: 2, BC: 32 },
    { WR: 4, WC: 1, BC: 32 },
    { WR: 4, WC: 1, BC: 16 },
    { WR: 2, WC: 1, BC: 16 },
  ],
};
/** For software drivers, where the tier is only tested: small ones compile and run faster. */
const SOFTWARE_BLOCKS: typeof BLOCKS = {
  fwd: [{ WR: 2, WC: 1, BC: 16 }],
  dq: [{ WR: 2, WC: 1, BC: 16 }],
  dkv: [{ WR: 2, WC: 2, BC: 16 }],
};

/** Bytes of workgroup memory: staged rows in f16 (two sets of them in backward), weights in f16, scores in f32. */
function matrixBlockBytes(kernel: Kernel, { M }: MatrixConfig, { WR, BC }: MatrixBlock, D: number): number {
  const [rows, staged] = [WR * M, kernel === 'fwd' ? 1 : 2];
  return 2 * staged * BC * (D + 8) + 2 * rows * (BC + 8) + 4 * rows * (BC + 4);
}

/** Whether matrices of this size tile the block and the head dim, with whole lanes to a row of scores. */
function tiles({ M, N, K, subgroupSize }: MatrixConfig, { WC, BC }: MatrixBlock, D: number): boolean {
  const whole = [BC / M, BC / K, BC / WC / N, D / K, D / WC / N, (WC * subgroupSize) / M];
  return whole.every(Number.isInteger) && (WC * subgroupSize) / M <= BC / 4 + 1;
}

/** The first block of each kernel that matrices tile and that the device has room for; or why there is none. */
export function planMatrixBlocks(profile: DeviceProfile, D: number): MatrixBlocks | string {
  const { subgroupMatrix: config, software } = profile;
  if (config === null) return 'it has no subgroup matrices';
  if (D > LARGEST_D) return `a head dim of ${D} is above ${LARGEST_D}, and its sums would fill the registers`;
  if (profile.limits.maxStorageBuffersPerShaderStage < STORAGE_BUFFERS)
    return `it binds ${profile.limits.maxStorageBuffersPerShaderStage} storage buffers, and the backward needs ${STORAGE_BUFFERS}`;
  const { maxComputeInvocationsPerWorkgroup: lanes, maxComputeWorkgroupStorageSize: bytes } = profile.limits;
  const find = (kernel: Kernel): MatrixBlock | undefined =>
    (software ? SOFTWARE_BLOCKS : BLOCKS)[kernel].find(
      (block) =>
        tiles(config, block, D) &&
        block.WR * block.WC * config.subgroupSize <= lanes &&
        matrixBlockBytes(kernel, config, block, D) <= bytes,
    );
  const [fwd, dq, dkv] = [find('fwd'), find('dq'), find('dkv')];
  if (fwd === undefined || dq === undefined || dkv === undefined)
    return `matrices of ${config.M}x${config.N}x${config.K} do not divide a head dim of ${D}, or a block of it needs more than the ${bytes} bytes of memory that a workgroup has`;
  return { fwd, dq, dkv };
}

/** The constants of either shader. */
export const matrixBlockConstants = (config: MatrixConfig, block: MatrixBlock, D: number): Record<string, number> => ({
  SM: config.M,
  SN: config.N,
  SK: config.K,
  SG: config.subgroupSize,
  ...block,
  D,
});

function specOf({ profile }: Recorder, block: MatrixBlock, D: number) {
  const config = profile.subgroupMatrix;
  if (config === null) throw new KernelCallError('attention', `${profile.name} has no subgroup matrices`);
  return {
    constants: matrixBlockConstants(config, block, D),
    sized: config.sized ? ['SIZED'] : [],
    rows: block.WR * config.M,
  };
}

export function matrixFwd(rec: Recorder, { q, k, v, o, lse, ...shape }: AttentionFwd, { fwd }: MatrixBlocks): void {
  const { query, key, heads, params, packed, starts } = prepare('attention_fwd', shape);
  const { constants, sized, rows } = specOf(rec, fwd, shape.D);
  rec.dispatch({
    name: 'attention_fwd_subgroup_matrix',
    when: [...packed, ...sized],
    constants,
    params,
    buffers: { q: [q, query], k: [k, key], v: [v, key], o: [o, query], lse: [lse, heads], ...starts },
    workgroups: Math.ceil(shape.Tq / rows) * shape.B * shape.H,
  });
}

/** dq by blocks of queries; dk and dv by blocks of keys. */
export function matrixBwd(rec: Recorder, call: AttentionBwd, { dq, dkv }: MatrixBlocks): void {
  const sizes = prepare('attention_bwd', call);
  const { query, key, params, packed, starts, ends } = sizes;
  const inputs = backwardInputs(call, sizes);
  const name = 'attention_bwd_subgroup_matrix';
  const byQuery = specOf(rec, dq, call.D);
  rec.dispatch({
    name,
    params,
    when: [...packed, ...byQuery.sized],
    constants: byQuery.constants,
    buffers: { ...inputs, dq: [call.dq, query], ...starts },
    workgroups: Math.ceil(call.Tq / byQuery.rows) * call.B * call.H,
  });
  const byKey = specOf(rec, dkv, call.D);
  rec.dispatch({
    name,
    params,
    when: ['BY_KEY', ...packed, ...byKey.sized],
    constants: byKey.constants,
    buffers: { ...inputs, dk: [call.dk, key], dv: [call.dv, key], ...ends },
    workgroups: Math.ceil(call.Tk / byKey.rows) * call.B * call.K,
  });
}
