/**
 * Host side of shaders/matmul_simt.wgsl and matmul_reduce.wgsl: products through workgroup tiles. Thin ones are split along their
 * depth.
 */
import type { DeviceProfile, SimtTile } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { extrasOf, type Gemm, readsVectors, spanOf } from './gemm.ts';
import { flag } from './vec4.ts';

export const DEFAULT_SIMT_TILE: SimtTile = { BM: 64, BN: 64, BK: 16, TM: 4, TN: 4 };
/** For products of few columns or rows, such as those with a LoRA rank: one side of the tile is 16. */
const THIN = 16;
const TALL_TILE: SimtTile = { BM: 64, BN: THIN, BK: 16, TM: 4, TN: 4 };
const WIDE_TILE: SimtTile = { BM: THIN, BN: 64, BK: 16, TM: 4, TN: 4 };

/** Invocations that keep a large GPU busy: 512 for each of about 128 multiprocessors. Thin tiles have few of them to a workgroup. */
const WANTED_INVOCATIONS = 65_536;
/** Depth below which another slice costs more than it brings, and slices beyond which the second stage costs more. */
const LEAST_SLICE = 128;
const MOST_SLICES = 32;

export type SimtPlan = { readonly tile: SimtTile; readonly slices: number; readonly depth: number };

/** Tile and slices of a product of this shape; a plan depends on nothing else, so that an estimate takes the same. */
export function planSimt(profile: DeviceProfile, { M, N, K, b }: Pick<Gemm, 'M' | 'N' | 'K' | 'b'>): SimtPlan {
  const tuned = b.tensor.dtype === 'f16' ? profile.tiles?.simtF16 : profile.tiles?.simt;
  const usual = tuned ?? DEFAULT_SIMT_TILE;
  const tile = N <= THIN && M > THIN ? TALL_TILE : M <= THIN && N > THIN ? WIDE_TILE : usual;
  const tiles = Math.ceil(M / tile.BM) * Math.ceil(N / tile.BN);
  const invocations = ((tiles * tile.BM) / tile.TM) * (tile.BN / tile.TN);
  const wanted = Math.min(Math.ceil(WANTED_INVOCATIONS / invocations), Math.floor(K / LEAST_SLICE), MOST_SLICES);
  // whole rounds of BK, so that only the last slice is short
  const depth = Math.ceil(K / Math.max(wanted, 1) / tile.BK) * tile.BK;
  return { tile, slices: Math.ceil(K / depth), depth };
}

/** Records a product, in two dispatches and with a workspace of its slices where it is split. */
export function simt(rec: Recorder, gemm: Gemm): void {
  const { M, N, scale, y, bias } = gemm;
  const plan = planSimt(rec.profile, gemm);
  const { slices } = plan;
  if (slices === 1) {
    dispatch(rec, gemm, plan);
    return;
  }
  const part = rec.tensor(`${gemm.label}.part`, [slices, M, N], { category: 'workspace' });
  const plus = gemm.plus && { ...gemm.plus, scale: gemm.plus.scale / scale };
  const sliced = { ...gemm, y: { tensor: part, ld: N, col0: 0 }, scale: 1, accumulate: false, plus, bias: null };
  dispatch(rec, sliced, plan);
  rec.dispatch({
    name: 'matmul_reduce',
    when: bias ? ['BIAS'] : [],
    params: { M, N, ldy: y.ld, y0: y.col0, slices, scale, accumulate: flag(gemm.accumulate), bias0: bias?.col0 ?? 0 },
    buffers: { part, y: [y.tensor, M * y.ld], ...(bias && { bias: [bias.tensor, bias.tensor.elements] }) },
    threads: M * N,
  });
}

/** Whether a passes through f16 on its way: beside a weight in f16, not beside the input of a layer in its weight's gradient. */
const roundsInput = ({ a, b }: Gemm): boolean => b.tensor.dtype === 'f16' && a.alongDepth;

function dispatch(rec: Recorder, gemm: Gemm, { tile, slices, depth }: SimtPlan): void {
  const { M, N, K, a, b, y, scale, accumulate } = gemm;
  const extras = extrasOf(gemm);
  const vectors = readsVectors(a) && readsVectors(b);
  const whole = M % tile.BM === 0 && N % tile.BN === 0 && K % tile.BK === 0;
  const when = [
    ...(a.alongDepth ? ['A_DEPTH'] : []),
    ...(b.alongDepth ? ['B_DEPTH'] : []),
    ...(readsVectors(a) ? ['VEC4_A'] : []),
    ...(readsVectors(b) ? ['VEC4_B'] : []),
    ...(vectors && whole ? ['FULL'] : []),
    ...(a.tensor.dtype === 'f16' ? ['A_F16'] : []),
    ...(b.tensor.dtype === 'f16' ? ['B_F16'] : []),
    ...(roundsInput(gemm) ? ['F16'] : []),
    ...extras.when,
  ];
  rec.dispatch({
    name: 'matmul_simt',
    when,
    constants: tile,
    params: {
      M,
      N,
      K,
      lda: a.ld,
      a0: a.col0,
      ldb: b.ld,
      ldy: y.ld,
      y0: y.col0,
      depth,
      slices,
      y_slice: M * N,
      scale,
      accumulate: flag(accumulate),
      ...extras.params,
    },
    buffers: {
      a: [a.tensor, spanOf(a)],
      b: [b.tensor, spanOf(b)],
      y: [y.tensor, slices > 1 ? slices * M * N : M * y.ld],
      ...extras.buffers,
    },
    workgroups: Math.ceil(M / tile.BM) * Math.ceil(N / tile.BN) * slices,
  });
}
