/** Host side of shaders/matmul_subgroup_matrix.wgsl: products with an f16 matrix on tensor cores. */
import { KernelCallError } from '../errors.ts';
import type { DeviceProfile, MatrixConfig, MatrixTile } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { matrixTileSizes, tileProblem } from '../gpu/tiles.ts';
import { extrasOf, type Gemm, readsWide, spanOf } from './gemm.ts';
import { flag } from './vec4.ts';

/** Lines and columns of a subgroup's share; a tile is WR x WC of them. */
type Share = Pick<MatrixTile, 'subgroupRows' | 'subgroupCols' | 'stages'> & { rows: number; cols: number; BK: number };

/**
 * 128 x 128 by eight subgroups: 64 sums a lane of 32, and of a large GPU's L2 as little as its matrices can be fed from. Where a device
 * has less than its 40 KiB of workgroup memory or its 256 invocations, 64 x 64; then with one buffer, in 10 KiB.
 */
const LARGE_SHARES: readonly Share[] = [
  { subgroupRows: 2, subgroupCols: 4, rows: 64, cols: 32, BK: 32, stages: 2 },
  { subgroupRows: 2, subgroupCols: 2, rows: 32, cols: 32, BK: 32, stages: 2 },
  { subgroupRows: 2, subgroupCols: 2, rows: 32, cols: 32, BK: 32, stages: 1 },
];
/** For software drivers, where the tier is only tested: it compiles and runs faster. */
const SOFTWARE_SHARE: Share = { subgroupRows: 1, subgroupCols: 2, rows: 16, cols: 8, BK: 16, stages: 1 };

type Facts = Pick<DeviceProfile, 'limits' | 'software' | 'shaderF16' | 'subgroupMatrix' | 'tiles'>;

/** The tile of a kind where none was tuned: the first of the above that the device takes. The small one is never 128 x 128. */
export function defaultMatrixTile(profile: Facts, kind: 'matrix' | 'matrixSmall'): MatrixTile {
  const { subgroupMatrix: config, software } = profile;
  if (config === null) throw new KernelCallError('matmul_subgroup_matrix', 'there are no subgroup matrices');
  const shares = software ? [SOFTWARE_SHARE] : kind === 'matrix' ? LARGE_SHARES : LARGE_SHARES.slice(1);
  const tiles = shares.map(({ rows, cols, ...tile }) => ({
    ...tile,
    matrixRows: Math.max(1, Math.floor(rows / config.M)),
    matrixCols: Math.max(1, Math.floor(cols / config.N)),
  }));
  return tiles.find((tile) => tileProblem(profile, kind, tile) === null) ?? (tiles.at(-1) as MatrixTile);
}

/** Workgroups that give each of the about 128 multiprocessors of a large GPU one; a product of fewer takes the small tile. Not measured. */
const WANTED_WORKGROUPS = 128;

function tilesOf(config: MatrixConfig, tile: MatrixTile, M: number, N: number): number {
  const [BM, BN] = matrixTileSizes(config, tile);
  return Math.ceil(M / BM) * Math.ceil(N / BN);
}

const tileOf = (profile: Facts, kind: 'matrix' | 'matrixSmall'): MatrixTile =>
  profile.tiles?.[kind] ?? defaultMatrixTile(profile, kind);

/** Which of the two tiles a product of M rows and N columns takes, by how many the large one would make of it. */
export function matrixKind(profile: Facts, { M, N }: Pick<Gemm, 'M' | 'N'>): 'matrix' | 'matrixSmall' {
  const { subgroupMatrix: config } = profile;
  if (config === null) throw new KernelCallError('matmul_subgroup_matrix', 'there are no subgroup matrices');
  return tilesOf(config, tileOf(profile, 'matrix'), M, N) < WANTED_WORKGROUPS ? 'matrixSmall' : 'matrix';
}

/** Whether the tier can do a product: its second operand is f16 already, and read along or across the depth. */
export const isMatrixProduct = ({ a, b }: Gemm): boolean => b.tensor.dtype === 'f16' && a.alongDepth;

/** The constants of the shader. */
export function matrixConstants(config: MatrixConfig, tile: MatrixTile): Record<string, number> {
  return {
    SM: config.M,
    SN: config.N,
    SK: config.K,
    SG: config.subgroupSize,
    WR: tile.subgroupRows,
    WC: tile.subgroupCols,
    RM: tile.matrixRows,
    RN: tile.matrixCols,
    BK: tile.BK,
  };
}

/**
 * The conditions of the shader. It watches operands that it rounds, and f16 weights as they were loaded; an f16 operand in a planned
 * tensor was watched by the kernel that rounded it.
 */
export function matrixVariant(gemm: Gemm, config: MatrixConfig, tile: MatrixTile): string[] {
  const { M, N, K, a, b, y, scale, accumulate, plus, bias } = gemm;
  const [wideA, wideW] = [readsWide(a), readsWide(b)];
  const [BM, BN] = matrixTileSizes(config, tile);
  // a matrix is stored to rows that start at a multiple of 16 bytes
  const halfY = y.tensor.dtype === 'f16';
  const straight = !halfY && bias === null && y.ld % 4 === 0 && y.col0 % 4 === 0 && (!accumulate || scale === 1);
  const watchW = b.tensor.storage.resident;
  const conditions: Record<string, boolean> = {
    B_DEPTH: b.alongDepth,
    TURNED: !b.alongDepth && config.turned === true && wideW && turns(config, tile),
    A_F16: a.tensor.dtype === 'f16',
    WIDE_A: wideA,
    WIDE_W: wideW,
    WHOLE: M % BM === 0 && N % BN === 0,
    FULL: wideA && wideW && K % tile.BK === 0,
    STRAIGHT: straight,
    Y_F16: halfY,
    TWO: tile.stages === 2,
    WATCH: a.tensor.dtype === 'f32' || plus !== null || watchW || halfY,
    WATCH_W: watchW,
    SIZED: config.sized,
  };
  return Object.keys(conditions).filter((name) => conditions[name]);
}

/** Whether the lanes of a workgroup have whole groups of the pairs that shaders/lib/matrix_w_turned.wgsl puts side by side. */
const turns = (config: MatrixConfig, { subgroupRows, matrixCols }: MatrixTile): boolean =>
  ((8 * subgroupRows * config.subgroupSize) / (matrixCols * config.N)) % PAIRS_TOGETHER === 0;
const PAIRS_TOGETHER = 8; // its twin is W_TOGETHER

export function subgroupMatrix(rec: Recorder, gemm: Gemm): void {
  const { M, N, K, a, b, y, scale, accumulate } = gemm;
  if (y.tensor.dtype === 'f16' && (accumulate || N % 4 !== 0 || y.ld % 4 !== 0 || y.col0 % 4 !== 0))
    throw new KernelCallError(gemm.label, `${y.tensor.label} is f16: stored in whole vectors of 4, and not added to`);
  const extras = extrasOf(gemm);
  const { config, tile } = requireMatrices(rec.profile, gemm);
  rec.dispatch({
    name: 'matmul_subgroup_matrix',
    when: [...matrixVariant(gemm, config, tile), ...extras.when],
    constants: matrixConstants(config, tile),
    params: {
      M,
      N,
      K,
      lda: a.ld,
      a0: a.col0,
      ldb: b.ld,
      ldy: y.ld,
      y0: y.col0,
      scale,
      accumulate: flag(accumulate),
      ...extras.params,
    },
    buffers: { a: [a.tensor, spanOf(a)], w: [b.tensor, spanOf(b)], y: [y.tensor, M * y.ld], ...extras.buffers },
    workgroups: tilesOf(config, tile, M, N),
  });
}

/** Depends on the profile and the shape alone, so that an estimate takes the same. */
function requireMatrices(
  profile: DeviceProfile,
  shape: Pick<Gemm, 'M' | 'N'>,
): { config: MatrixConfig; tile: MatrixTile } {
  const { name, subgroupMatrix: config } = profile;
  if (config === null) throw new KernelCallError('matmul_subgroup_matrix', `${name} has no subgroup matrices`);
  return { config, tile: tileOf(profile, matrixKind(profile, shape)) };
}
