/** Host side of shaders/attention_{fwd,bwd}_subgroup_matrix.wgsl: attention on tensor cores, f16 operands and f32 sums. */
import { KernelCallError } from '../errors.ts';
import type { DeviceProfile, MatrixConfig } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type AttentionBwd, type AttentionFwd, backwardInputs, prepare } from './attention-call.ts';

/** A workgroup's grid of subgroups, each a matrix of rows high, and the columns of a round. */
export type MatrixBlock = { readonly WR: number; readonly WC: number; readonly BC: number };
type Kernel = 'fwd' | 'dq' | 'dkv';
/** Blocks of the kernels of a pass. */
export type MatrixBlocks<K extends Kernel = Kernel> = { readonly [kernel in K]: MatrixBlock };
export type Pass = 'forward' | 'backward';

/** Bindings of dk and dv's kernel with packed documents. */
const STORAGE_BUFFERS = 10;

/** Head dims beyond which compilers no longer find registers: backward at 256 spills on every GPU that was looked at. */
const LARGEST_D = { fwd: 256, bwd: 128 };
/** Head dim beyond which forward has no registers for keys and values that are on their way. */
const LARGEST_AHEAD = 128;

/**
 * In the order of preference: rows enough for the loads from L2, and workgroups small enough for several on a multiprocessor (two or
 * more of `fwd`, four or more of the others at a head dim of 128: docs/static-gpu.md). Two subgroups side by side halve the sums of each.
 */
const BACKWARD_BLOCKS: readonly MatrixBlock[] = [
  { WR: 2, WC: 2, BC: 32 },
  { WR: 4, WC: 2, BC: 32 },
  { WR: 2, WC: 1, BC: 16 },
  { WR: 1, WC: 1, BC: 16 },
];
const BLOCKS: Readonly<Record<Kernel, readonly MatrixBlock[]>> = {
  fwd: [
    { WR: 4, WC: 2, BC: 32 },
    { WR: 8, WC: 1, BC: 32 },
    { WR: 4, WC: 1, BC: 32 },
    { WR: 4, WC: 1, BC: 16 },
    { WR: 2, WC: 1, BC: 16 },
  ],
  dq: BACKWARD_BLOCKS,
  dkv: BACKWARD_BLOCKS,
};
/** For software drivers, where the tier is only tested: small ones compile and run faster. */
const SOFTWARE_BLOCKS: typeof BLOCKS = {
  // its own rows are staged in two rounds, as on a GPU
  fwd: [{ WR: 4, WC: 1, BC: 16 }],
  dq: [{ WR: 2, WC: 1, BC: 16 }],
  dkv: [{ WR: 2, WC: 2, BC: 16 }],
};

/** Bytes of workgroup memory: staged rows and weights in f16, scores in f32; backward has two of each, and its own rows. */
function matrixBlockBytes(kernel: Kernel, { M }: MatrixConfig, { WR, BC }: MatrixBlock, D: number): number {
  const rows = WR * M;
  const [staged, weights, scores] = [2 * (D + 8), 2 * rows * (BC + 8), 4 * rows * (BC + 4)];
  if (kernel === 'fwd') return 2 * BC * staged + weights + scores + 4;
  return 2 * (rows + BC) * staged + (kernel === 'dq' ? 1 : 2) * weights + 2 * scores;
}

/**
 * Whether matrices of this size tile the block and the head dim, with whole vectors of scores to a lane. A row of scores of the
 * kernel of dk and dv also has the lse and the delta of one of the others.
 */
function tiles(kernel: Kernel, { M, N, K, subgroupSize }: MatrixConfig, { WR, WC, BC }: MatrixBlock, D: number) {
  const parts = (WC * subgroupSize) / M;
  const whole = [BC / M, BC / K, BC / WC / N, D / K, D / WC / N, D / 8, parts, BC / 4 / parts];
  return whole.every(Number.isInteger) && (kernel !== 'dkv' || WR * M >= BC);
}

/** The first block of each kernel of a pass that matrices tile and that the device has room for; or why there is none. */
export function planMatrixBlocks<K extends Kernel>(
  profile: DeviceProfile,
  D: number,
  kernels: readonly K[],
): MatrixBlocks<K> | string {
  const { subgroupMatrix: config, software, limits } = profile;
  if (config === null) return 'it has no subgroup matrices';
  const largest = kernels.some((kernel) => kernel !== 'fwd') ? LARGEST_D.bwd : LARGEST_D.fwd;
  if (D > largest) return `a head dim of ${D} is above ${largest}, and its sums would fill the registers`;
  if (limits.maxStorageBuffersPerShaderStage < STORAGE_BUFFERS)
    return `it binds ${limits.maxStorageBuffersPerShaderStage} storage buffers, and the tier needs ${STORAGE_BUFFERS}`;
  const { maxComputeInvocationsPerWorkgroup: lanes, maxComputeWorkgroupStorageSize: bytes } = limits;
  const found: Partial<Record<Kernel, MatrixBlock>> = {};
  for (const kernel of kernels) {
    const block = (software ? SOFTWARE_BLOCKS : BLOCKS)[kernel].find(
      (one) =>
        tiles(kernel, config, one, D) &&
        one.WR * one.WC * config.subgroupSize <= lanes &&
        matrixBlockBytes(kernel, config, one, D) <= bytes,
    );
    if (block === undefined)
      return `matrices of ${config.M}x${config.N}x${config.K} do not divide a head dim of ${D}, or a block of it needs more than the ${bytes} bytes of memory that a workgroup has`;
    found[kernel] = block;
  }
  return found as MatrixBlocks<K>;
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

export function matrixFwd(
  rec: Recorder,
  { q, k, v, o, lse, ...shape }: AttentionFwd,
  { fwd }: MatrixBlocks<'fwd'>,
): void {
  const { query, key, heads, params, packed, starts } = prepare('attention_fwd', shape);
  const { constants, sized, rows } = specOf(rec, fwd, shape.D);
  rec.dispatch({
    name: 'attention_fwd_subgroup_matrix',
    when: [
      ...packed,
      ...sized,
      ...(shape.D <= LARGEST_AHEAD ? ['AHEAD'] : []),
      ...(o.dtype === 'f16' ? ['O_F16'] : []),
    ],
    constants,
    params,
    buffers: { q: [q, query], k: [k, key], v: [v, key], o: [o, query], lse: [lse, heads], ...starts },
    workgroups: Math.ceil(shape.Tq / rows) * shape.B * shape.H,
  });
}

/** dq by blocks of queries; dk and dv by blocks of keys. dO is f16. */
export function matrixBwd(rec: Recorder, call: AttentionBwd, { dq, dkv }: MatrixBlocks<'dq' | 'dkv'>): void {
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
    when: ['BY_KEY', ...packed, ...byKey.sized, ...(call.dv.dtype === 'f16' ? ['DV_F16'] : [])],
    constants: byKey.constants,
    buffers: { ...inputs, dk: [call.dk, key], dv: [call.dv, key], ...ends },
    workgroups: Math.ceil(call.Tk / byKey.rows) * call.B * call.K,
  });
}
