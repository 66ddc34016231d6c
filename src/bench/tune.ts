/** Sweeps the tiles of the matmul kernels at the shapes of a model, and says which was fastest. */
import { DeviceError } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import type { DeviceProfile, MatrixTile, SimtTile, Tier, TunedTiles } from '../gpu/device-profile.ts';
import { TILE_KINDS, type TileKind, tileProblem } from '../gpu/tiles.ts';
import { DEFAULT_SIMT_TILE } from '../kernels/matmul-simt.ts';
import { DEFAULT_MATRIX_TILE } from '../kernels/matmul-subgroup-matrix.ts';
import { type Product, type ProductCall, prepareProduct } from './product.ts';

export type Tile = SimtTile | MatrixTile;
export type Shape = { readonly M: number; readonly N: number; readonly K: number };

/** How one tile did: the GFLOP/s over all shapes, forward and backward; or why it has none. */
export type Tried = {
  readonly kind: TileKind;
  readonly tile: Tile;
  readonly gflops: number | null;
  readonly reason: string | null;
};

export type TuneEvent = { readonly type: 'start'; readonly total: number } | ({ readonly type: 'tried' } & Tried);
export type TuneResult = { readonly tiles: TunedTiles; readonly tried: readonly Tried[] };

export type TuneOptions = {
  readonly shapes: readonly Shape[];
  readonly rounds: number;
  /** Tiles to try; all that are known by default. The kernel's own default is tried first in any case. */
  readonly candidates?: Partial<Record<TileKind, readonly Tile[]>>;
  readonly signal?: AbortSignal;
};

const DEFAULTS: Record<TileKind, Tile> = {
  simt: DEFAULT_SIMT_TILE,
  simtF16: DEFAULT_SIMT_TILE,
  matrix: DEFAULT_MATRIX_TILE,
};
const TIER: Record<TileKind, Tier> = { simt: 'simt', simtF16: 'simt', matrix: 'subgroup_matrix' };

/** BM, BN, TM, TN: from 64 x 64 by 256 threads to 128 x 128 with 64 sums a thread. */
const SIMT_SHAPES = [
  [64, 64, 4, 4],
  [64, 64, 8, 4],
  [128, 64, 8, 4],
  [128, 64, 8, 8],
  [128, 128, 8, 8],
] as const;
const SIMT_DEPTHS = [8, 16, 32];
const SUBGROUP_GRIDS = [
  [2, 2],
  [2, 4],
  [4, 2],
] as const;
const MATRIX_GRIDS = [
  [2, 2],
  [4, 2],
  [2, 4],
  [4, 4],
] as const;
const MATRIX_DEPTHS = [16, 32, 64];

/** For a rehearsal: one more than the default of each. */
export const QUICK_TILES: Record<TileKind, readonly Tile[]> = {
  simt: [{ BM: 64, BN: 64, BK: 8, TM: 8, TN: 4 }],
  simtF16: [{ BM: 64, BN: 64, BK: 8, TM: 8, TN: 4 }],
  matrix: [{ subgroupRows: 2, subgroupCols: 1, matrixRows: 2, matrixCols: 2, BK: 16 }],
};

/** A tile much slower than the best at the first shape is not measured at the others. */
const HOPELESS = 3;
/**
 * What every tile has to get right before it is timed: rows, columns and depth that nothing divides, and ones that 4 does, so that
 * operands are read by vectors as those of models are, with more than two rounds of the deepest tile.
 */
const CHECKED: readonly (readonly [rows: number, columns: number, depth: number])[] = [
  [70, 67, 69],
  [70, 68, 136],
];
const checksOf = (dtype: 'f32' | 'f16'): ProductCall[] =>
  CHECKED.flatMap(([M, columns, depth]) => [
    { op: 'nt', M, N: columns, K: depth, dtype },
    { op: 'nn', M, N: depth, K: columns, dtype },
  ]);

/** The candidates of a kind, the same on every device; which of them fit one is `tileProblem`'s to say. */
export function knownTiles(kind: TileKind): readonly Tile[] {
  if (kind === 'matrix')
    return SUBGROUP_GRIDS.flatMap(([subgroupRows, subgroupCols]) =>
      MATRIX_GRIDS.flatMap(([matrixRows, matrixCols]) =>
        MATRIX_DEPTHS.map((BK) => ({ subgroupRows, subgroupCols, matrixRows, matrixCols, BK })),
      ),
    );
  return SIMT_SHAPES.flatMap(([BM, BN, TM, TN]) => SIMT_DEPTHS.map((BK) => ({ BM, BN, BK, TM, TN })));
}

/**
 * The fastest tile of every kind that the device has. `open` is called again after a tile that the driver refused, since its
 * device is not to be trusted afterwards; `close` ends each.
 * A kind of which no tile works has none in the result, and later runs take its default.
 * @throws DeviceError when the device can take no tile of any kind
 */
export async function* tuneKernels(
  open: () => Promise<Device>,
  close: (device: Device) => Promise<void>,
  options: TuneOptions,
): AsyncGenerator<TuneEvent, TuneResult> {
  let device = await open();
  try {
    const { profile } = device;
    const plan = TILE_KINDS.flatMap((kind) => tilesOf(profile, kind, options).map((tile) => ({ kind, tile })));
    if (plan.length === 0) throw new DeviceError(`${profile.name} can take no tile at all: nothing to tune`);
    yield { type: 'start', total: plan.length };
    const tried: Tried[] = [];
    for (const { kind, tile } of plan) {
      options.signal?.throwIfAborted();
      const best = Math.max(0, ...tried.filter((t) => t.kind === kind).map((t) => t.gflops ?? 0));
      const outcome = await tryTile(device, kind, tile, best, options);
      tried.push(outcome);
      yield { type: 'tried', ...outcome };
      if (outcome.reason !== null && outcome.gflops === null) {
        await close(device);
        device = await open();
      }
    }
    return { tiles: winners(tried), tried };
  } finally {
    await close(device);
  }
}

function tilesOf(profile: DeviceProfile, kind: TileKind, { candidates }: TuneOptions): Tile[] {
  const key = (tile: Tile): string => JSON.stringify(Object.entries(tile).sort());
  const all = [DEFAULTS[kind], ...(candidates?.[kind] ?? (candidates === undefined ? knownTiles(kind) : []))];
  const distinct = [...new Map(all.map((tile) => [key(tile), tile])).values()];
  return distinct.filter((tile) => tileProblem(profile, kind, tile as never) === null);
}

async function tryTile(device: Device, kind: TileKind, tile: Tile, best: number, options: TuneOptions): Promise<Tried> {
  const profile = { ...device.profile, tier: TIER[kind], tiles: { [kind]: tile } };
  const dtype = kind === 'simt' ? 'f32' : 'f16';
  const calls = (shape: Shape): ProductCall[] => (['nt', 'nn'] as const).map((op) => ({ op, ...shape, dtype }));
  try {
    for (const call of checksOf(dtype)) {
      if (!(await isRight(device, profile, call)))
        return { kind, tile, gflops: null, reason: `wrong sums (${call.op} ${call.M}x${call.N}x${call.K})` };
    }
    let [flop, seconds] = [0, 0];
    for (const shape of options.shapes) {
      for (const call of calls(shape)) {
        options.signal?.throwIfAborted();
        seconds += await timed(device, profile, call, options.rounds);
        flop += 2 * shape.M * shape.N * shape.K;
      }
      if (flop / seconds / 1e9 < best / HOPELESS) break;
    }
    return { kind, tile, gflops: flop / seconds / 1e9, reason: null };
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    return { kind, tile, gflops: null, reason: error.message.split('\n')[0] ?? '' };
  }
}

/** Against the direct kernels; the operands are such that every order of summing gives the same bits. */
async function isRight(device: Device, profile: DeviceProfile, call: ProductCall): Promise<boolean> {
  const of = (p: DeviceProfile): Promise<Float32Array> => using(device, p, call, (product) => product.result());
  const [got, want] = [await of(profile), await of({ ...profile, tier: 'direct' })];
  return got.length === want.length && got.every((value, i) => value === want[i]);
}

async function timed(device: Device, profile: DeviceProfile, call: ProductCall, rounds: number): Promise<number> {
  return using(device, profile, call, async (product) => {
    const times: number[] = [];
    for (let i = 0; i < rounds; i++) times.push(await product.seconds());
    return times.sort((a, b) => a - b)[times.length >> 1] as number;
  });
}

async function using<T>(
  device: Device,
  profile: DeviceProfile,
  call: ProductCall,
  use: (product: Product) => Promise<T>,
): Promise<T> {
  const product = await prepareProduct(device, profile, call);
  try {
    return await use(product);
  } finally {
    product.free();
    device.throwIfFailed();
  }
}

function winners(tried: readonly Tried[]): TunedTiles {
  const tiles: Partial<Record<TileKind, Tile>> = {};
  for (const kind of TILE_KINDS) {
    const best = tried
      .filter((t) => t.kind === kind && t.gflops !== null)
      .sort((a, b) => (b.gflops ?? 0) - (a.gflops ?? 0))[0];
    if (best !== undefined) tiles[kind] = best.tile;
  }
  return tiles as TunedTiles;
}
