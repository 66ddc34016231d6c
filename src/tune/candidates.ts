/** Tiles that the tuner tries, by kind: likely winners first, since its time may run out before the list ends. */
import type { DeviceProfile, MatrixTile, SimtTile } from '../gpu/device-profile.ts';
import { isMatrixKind, type TileKind } from '../gpu/tiles.ts';
import { DEFAULT_SIMT_TILE } from '../kernels/matmul-simt.ts';
import { defaultMatrixTile } from '../kernels/matmul-subgroup-matrix.ts';

export type Tile = SimtTile | MatrixTile;

/** Default tile of a kind on a device; none where the device lacks the kind. */
export function defaultTiles(profile: DeviceProfile, kind: TileKind): readonly Tile[] {
  if (!isMatrixKind(kind)) return [DEFAULT_SIMT_TILE];
  return profile.subgroupMatrix === null ? [] : [defaultMatrixTile(profile, kind)];
}

/** BM, BN, TM, TN: from 128 x 128 with 64 sums a thread, the usual choice on CUDA, down to 64 x 64 by 256 threads. */
const SIMT_SHAPES = [
  [128, 128, 8, 8],
  [128, 64, 8, 4],
  [128, 64, 8, 8],
  [64, 64, 8, 4],
  [64, 64, 4, 4],
] as const;
const SIMT_DEPTHS = [16, 8, 32];

/**
 * Subgroups of a workgroup, and matrices of a subgroup: 4 x 2 of 16 x 16 make 64 sums a lane; 4 x 4 make 128, near the
 * limit.
 */
const SUBGROUP_GRIDS = [
  [2, 4],
  [2, 2],
  [4, 2],
] as const;
const MATRIX_GRIDS = [
  [4, 2],
  [4, 4],
  [2, 4],
  [2, 2],
] as const;
const MATRIX_DEPTHS = [32, 64, 16];

/** Loads ahead hide memory's latency, and cost registers. */
const STAGES = [2, 1];

/** Grids for products of few tiles: from 16 x 64 to 64 x 64. */
const SMALL_SUBGROUP_GRIDS = [
  [2, 2],
  [1, 4],
  [1, 2],
] as const;
const SMALL_MATRIX_GRIDS = [
  [1, 2],
  [2, 2],
  [2, 1],
  [1, 1],
] as const;
const SMALL_MATRIX_DEPTHS = [32, 64];

/** A rehearsal: one tile of each kind besides its default. */
export const QUICK_TILES: Readonly<Record<TileKind, readonly Tile[]>> = {
  simt: [{ BM: 64, BN: 64, BK: 8, TM: 8, TN: 4 }],
  simtF16: [{ BM: 64, BN: 64, BK: 8, TM: 8, TN: 4 }],
  matrix: [{ subgroupRows: 2, subgroupCols: 1, matrixRows: 2, matrixCols: 2, BK: 16, stages: 2 }],
  matrixSmall: [{ subgroupRows: 1, subgroupCols: 2, matrixRows: 1, matrixCols: 2, BK: 16, stages: 2 }],
};

/** Candidates of a kind, the same on every device; `tileProblem` says which of them fit one. */
export function knownTiles(kind: TileKind): readonly Tile[] {
  if (!isMatrixKind(kind))
    return SIMT_DEPTHS.flatMap((BK) => SIMT_SHAPES.map(([BM, BN, TM, TN]) => ({ BM, BN, BK, TM, TN })));
  return kind === 'matrix'
    ? matrixTiles(MATRIX_DEPTHS, MATRIX_GRIDS, SUBGROUP_GRIDS)
    : matrixTiles(SMALL_MATRIX_DEPTHS, SMALL_MATRIX_GRIDS, SMALL_SUBGROUP_GRIDS);
}

type Grids = readonly (readonly [rows: number, cols: number])[];

function matrixTiles(depths: readonly number[], matrices: Grids, subgroups: Grids): MatrixTile[] {
  return depths.flatMap((BK) =>
    matrices.flatMap(([matrixRows, matrixCols]) =>
      subgroups.flatMap(([subgroupRows, subgroupCols]) =>
        STAGES.map((stages) => ({ subgroupRows, subgroupCols, matrixRows, matrixCols, BK, stages })),
      ),
    ),
  );
}
