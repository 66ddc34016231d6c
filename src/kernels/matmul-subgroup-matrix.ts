/** Host side of shaders/matmul_subgroup_matrix.wgsl: products with an f16 matrix on tensor cores. */
import { KernelCallError } from '../errors.ts';
import type { DeviceProfile, MatrixConfig, MatrixTile } from '../gpu/device-profile.ts';
import type { Tape } from '../gpu/tape.ts';
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

export function subgroupMatrix(tape: Tape, gemm: Gemm): void {
  const { R, C, D, a, b, y, scale, accumulate } = gemm;
  const extras = extrasOf(gemm);
  const { config, tile } = requireMatrices(tape.profile);
  const BM = tile.subgroupRows * tile.matrixRows * config.M;
  const BN = tile.subgroupCols * tile.matrixCols * config.N;
  tape.dispatch({
    name: 'matmul_subgroup_matrix',
    when: [...matrixVariant({ a, b }, config), ...(tile.stages === 2 ? ['AHEAD'] : []), ...extras.when],
    constants: matrixConstants(config, tile),
    params: {
      ...{ R, C, D, lda: a.ld, a0: a.col0, ldb: b.ld, ldy: y.ld, y0: y.col0 },
      ...{ scale, accumulate: flag(accumulate), ...extras.params },
    },
    buffers: { a: [a.tensor, spanOf(a)], w: [b.tensor, spanOf(b)], y: [y.tensor, R * y.ld], ...extras.buffers },
    workgroups: Math.ceil(R / BM) * Math.ceil(C / BN),
  });
}

function requireMatrices({ name, subgroupMatrix: config, tiles }: DeviceProfile): {
  config: MatrixConfig;
  tile: MatrixTile;
} {
  if (config === null) throw new KernelCallError('matmul_subgroup_matrix', `${name} has no subgroup matrices`);
  return { config, tile: tiles?.matrix ?? DEFAULT_MATRIX_TILE };
}
