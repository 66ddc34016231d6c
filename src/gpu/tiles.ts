/** Checks which tiles of the matmul kernels a device can take; src/tune/tune.ts tries them, src/node/tuning.ts keeps the winners. */
import type { DeviceProfile, MatrixConfig, MatrixTile, SimtTile, TunedTiles } from './device-profile.ts';

export const TILE_KINDS = ['simt', 'simtF16', 'matrix', 'matrixSmall'] as const;
export type TileKind = (typeof TILE_KINDS)[number];
export const isMatrixKind = (kind: TileKind): kind is 'matrix' | 'matrixSmall' => kind.startsWith('matrix');

export const SIMT_FIELDS = ['BM', 'BN', 'BK', 'TM', 'TN'] as const;
export const MATRIX_FIELDS = ['subgroupRows', 'subgroupCols', 'matrixRows', 'matrixCols', 'BK', 'stages'] as const;

type Facts = Pick<DeviceProfile, 'limits' | 'subgroupMatrix' | 'shaderF16'>;

/** Bytes of workgroup memory of shaders/matmul_simt.wgsl. */
function simtStorageBytes({ BM, BN, BK }: SimtTile): number {
  return 16 * BK * (BM / 4 + 1 + BN / 4 + 1);
}

/** Bytes of workgroup memory of shaders/matmul_subgroup_matrix.wgsl, for any layout of w. */
export function matrixStorageBytes(config: MatrixConfig, tile: MatrixTile): number {
  const [BM, BN] = matrixTileSizes(config, tile);
  const padded = (lines: number, line: number): number => 2 * tile.stages * lines * (line + 8);
  // the sums pass through a's
  const sums = 4 * tile.subgroupRows * tile.subgroupCols * config.M * config.N;
  return Math.max(padded(BM, tile.BK), sums) + Math.max(padded(BN, tile.BK), padded(tile.BK, BN));
}

/** Rows and columns of a workgroup's tile. */
export const matrixTileSizes = ({ M, N }: MatrixConfig, tile: MatrixTile): [BM: number, BN: number] => [
  tile.subgroupRows * tile.matrixRows * M,
  tile.subgroupCols * tile.matrixCols * N,
];

/** Why a device cannot take a tile; null when it can. */
export function tileProblem<Kind extends TileKind>(
  profile: Facts,
  kind: Kind,
  tile: NonNullable<TunedTiles[Kind]>,
): string | null {
  if (isMatrixKind(kind)) return matrixProblem(profile, tile as MatrixTile);
  if (kind === 'simtF16' && !profile.shaderF16) return 'it has no shader-f16';
  return simtProblem(profile, tile as SimtTile);
}

function simtProblem(profile: Facts, tile: SimtTile): string | null {
  const { BM, BN, BK, TM, TN } = tile;
  if ([BK, TM, TN].some((n) => n % 4 !== 0) || BM % TM !== 0 || BN % TN !== 0)
    return 'BK, TM and TN have to be multiples of 4, and divide BM and BN';
  return resourceProblem(profile, (BM / TM) * (BN / TN), simtStorageBytes(tile));
}

function matrixProblem(profile: Facts, tile: MatrixTile): string | null {
  const { subgroupMatrix: config } = profile;
  if (config === null) return 'it has no subgroup matrices';
  if (tile.BK % config.K !== 0) return `BK has to be a multiple of ${config.K}`;
  if (tile.stages > 2) return 'stages has to be 1 or 2';
  const lanes = tile.subgroupRows * tile.subgroupCols * config.subgroupSize;
  const eights = [tile.BK / 8, matrixTileSizes(config, tile)[1] / 8];
  if (eights.some((n) => lanes % n !== 0)) return `${lanes} lanes cannot share rows of ${eights.join(' or ')} loads`;
  return resourceProblem(profile, lanes, matrixStorageBytes(config, tile));
}

function resourceProblem({ limits }: Facts, invocations: number, bytes: number): string | null {
  const { maxComputeInvocationsPerWorkgroup: mostInvocations, maxComputeWorkgroupStorageSize: mostBytes } = limits;
  return invocations > mostInvocations || bytes > mostBytes
    ? `needs ${invocations} invocations and ${bytes} bytes per workgroup, the device allows ${mostInvocations} and ${mostBytes}`
    : null;
}
