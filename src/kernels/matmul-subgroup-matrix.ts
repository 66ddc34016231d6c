/** Host side of shaders/matmul_subgroup_matrix.wgsl: products with an f16 matrix on tensor cores. */
import { KernelCallError } from '../errors.ts';
import type { DeviceProfile, MatrixConfig, MatrixTile } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { extrasOf, type Gemm, readsVectors, spanOf } from './gemm.ts';
import { flag } from './vec4.ts';

/** 64 x 64 with matrices of 16 x 16; fits the 16 KiB of workgroup memory that every device has. */
export const DEFAULT_MATRIX_TILE: MatrixTile = {
  subgroupRows: 2,
  subgroupCols: 2,
  matrixRows: 2,
  matrixCols: 2,
  BK: 32,
  stages: 1,
};

/** 32 x 64 with matrices of 16 x 16, by as many subgroups. */
export const DEFAULT_SMALL_MATRIX_TILE: MatrixTile = { ...DEFAULT_MATRIX_TILE, matrixRows: 1 };

/** Workgroups that give each of the about 128 multiprocessors of a large GPU one; a product of fewer takes the small tile. Not measured. */
const WANTED_WORKGROUPS = 128;

const tilesOf = ({ M, N }: MatrixConfig, tile: MatrixTile, R: number, C: number): number =>
  Math.ceil(R / (tile.subgroupRows * tile.matrixRows * M)) * Math.ceil(C / (tile.subgroupCols * tile.matrixCols * N));

/** Which of the two tiles a product of R rows and C columns takes, by how many the large one would make of it. */
export function matrixKind(
  config: MatrixConfig,
  tiles: DeviceProfile['tiles'],
  { R, C }: Pick<Gemm, 'R' | 'C'>,
): 'matrix' | 'matrixSmall' {
  return tilesOf(config, tiles?.matrix ?? DEFAULT_MATRIX_TILE, R, C) < WANTED_WORKGROUPS ? 'matrixSmall' : 'matrix';
}

/** Whether the tier can do a product: its second operand is f16 already, and read along or across the depth. */
export const isMatrixProduct = ({ a, b }: Gemm): boolean => b.tensor.dtype === 'f16' && a.alongDepth;

/** The constants of the shader. */
export function matrixConstants(config: MatrixConfig, tile: MatrixTile): Record<string, number> {
  return {
    ...{ SM: config.M, SN: config.N, SK: config.K, SG: config.subgroupSize },
    ...{ WR: tile.subgroupRows, WC: tile.subgroupCols, RM: tile.matrixRows, RN: tile.matrixCols, BK: tile.BK },
  };
}

function matrixVariant({ a, b }: Pick<Gemm, 'a' | 'b'>, { sized }: MatrixConfig): string[] {
  return [
    ...(b.alongDepth ? ['B_DEPTH'] : []),
    ...(readsVectors(a) ? ['VEC4_A'] : []),
    ...(readsVectors(b) ? ['VEC4_B'] : []),
    ...(sized ? ['SIZED'] : []),
  ];
}

export function subgroupMatrix(rec: Recorder, gemm: Gemm): void {
  const { R, C, D, a, b, y, scale, accumulate } = gemm;
  const extras = extrasOf(gemm);
  const { config, tile } = requireMatrices(rec.profile, gemm);
  rec.dispatch({
    name: 'matmul_subgroup_matrix',
    when: [...matrixVariant({ a, b }, config), ...(tile.stages === 2 ? ['AHEAD'] : []), ...extras.when],
    constants: matrixConstants(config, tile),
    params: {
      ...{ R, C, D, lda: a.ld, a0: a.col0, ldb: b.ld, ldy: y.ld, y0: y.col0 },
      ...{ scale, accumulate: flag(accumulate), ...extras.params },
    },
    buffers: { a: [a.tensor, spanOf(a)], w: [b.tensor, spanOf(b)], y: [y.tensor, R * y.ld], ...extras.buffers },
    workgroups: tilesOf(config, tile, R, C),
  });
}

/** From the profile and the shape alone, so that an estimate takes the same. */
function requireMatrices(
  { name, subgroupMatrix: config, tiles }: DeviceProfile,
  shape: Pick<Gemm, 'R' | 'C'>,
): { config: MatrixConfig; tile: MatrixTile } {
  if (config === null) throw new KernelCallError('matmul_subgroup_matrix', `${name} has no subgroup matrices`);
  const kind = matrixKind(config, tiles, shape);
  return { config, tile: tiles?.[kind] ?? (kind === 'matrix' ? DEFAULT_MATRIX_TILE : DEFAULT_SMALL_MATRIX_TILE) };
}
