/** Measures the tiles of the matmul kernels at the shapes of a model and picks the fastest. */
import { DeviceError } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import type { DeviceProfile, Tier, TunedTiles } from '../gpu/device-profile.ts';
import { isMatrixKind, TILE_KINDS, type TileKind, tileProblem } from '../gpu/tiles.ts';
import { matrixKind } from '../kernels/matmul-subgroup-matrix.ts';
import { defaultTiles, knownTiles, type Tile } from './candidates.ts';
import { type Clock, type Product, type ProductCall, prepareProduct, repeatsOf } from './product.ts';

export type Shape = { readonly M: number; readonly N: number; readonly K: number };

/** Result of one tile: GFLOP/s over the shapes it was measured at, null where none; `reason` says why it cannot win. */
export type Tried = {
  readonly kind: TileKind;
  readonly tile: Tile;
  readonly gflops: number | null;
  readonly reason: string | null;
};

export type TuneEvent =
  | { readonly type: 'start'; readonly total: number }
  | ({ readonly type: 'tried' } & Tried)
  /** A kind whose candidates are left out, since no product takes it at these shapes. */
  | { readonly type: 'unneeded'; readonly kind: TileKind; readonly count: number };
/** `untried` counts the candidates that were left when time ended or a signal came. */
export type TuneResult = { readonly tiles: TunedTiles; readonly tried: readonly Tried[]; readonly untried: number };

export type TuneOptions = {
  readonly shapes: readonly Shape[];
  readonly rounds: number;
  /** Tiles to try, by default all that are known. The kernel's own default always comes first. */
  readonly candidates?: Partial<Record<TileKind, readonly Tile[]>>;
  /** Ends the sweep, whose result is then what was found so far. */
  readonly signal?: AbortSignal;
  /** Milliseconds after which the sweep ends; every kind has a share of them. */
  readonly budgetMs?: number;
  /** Clock in milliseconds; injected by tests. */
  readonly now?: Clock;
};

const TIER: Record<TileKind, Tier> = {
  simt: 'simt',
  simtF16: 'simt',
  matrix: 'subgroup_matrix',
  matrixSmall: 'subgroup_matrix',
};

/** Order of the kinds and their shares of the time: first the kinds that most of a step's time goes to. */
const SHARES: readonly (readonly [TileKind, share: number])[] = [
  ['matrix', 4],
  ['matrixSmall', 1],
  ['simt', 2],
  ['simtF16', 1],
];

/**
 * A tile that needs more than this many times the best tile's seconds so far is dropped; the largest shapes come first.
 */
const DROPPED_BEYOND = 1.25;

/**
 * Shapes at which every tile must be right before it is timed. First, no tile divides rows, columns or depth. Second, 4
 * divides columns and depth, so that operands are read by vectors as in models, over more than two rounds of the
 * deepest tile.
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

/**
 * Finds the fastest tile of every kind that the device has. A kind whose tiles all fail, or that no shape takes, is
 * absent from the result, and later runs take its default.
 * @param open opens a device; called again after a tile that the driver refused, whose device cannot be trusted any
 * more
 * @param close ends each of those devices
 * @throws DeviceError when the device can take no tile of any kind, or time ended before one was measured; the signal's
 * reason where it came before one was measured
 */
export async function* tuneKernels(
  open: () => Promise<Device>,
  close: (device: Device) => Promise<void>,
  options: TuneOptions,
): AsyncGenerator<TuneEvent, TuneResult> {
  const { signal, budgetMs = Number.POSITIVE_INFINITY, now = () => performance.now() } = options;
  const end = now() + budgetMs;
  let device = await open();
  try {
    const { profile } = device;
    const sweeps = SHARES.map(([kind, share]) => ({ kind, share, tiles: tilesOf(profile, kind, options) }));
    const total = sweeps.reduce((sum, { tiles }) => sum + tiles.length, 0);
    if (total === 0) throw new DeviceError(`${profile.name} can take no tile at all: nothing to tune`);
    yield { type: 'start', total };
    const tried: Tried[] = [];
    let untried = 0;
    for (const [i, { kind, share, tiles }] of sweeps.entries()) {
      const calls = callsOf(profile, kind, options.shapes, winners(tried));
      if (calls.length === 0) {
        if (tiles.length > 0) yield { type: 'unneeded', kind, count: tiles.length };
        continue;
      }
      const shares = sweeps.slice(i).reduce((sum, sweep) => sum + sweep.share, 0);
      const until = now() + ((end - now()) * share) / shares;
      const isOver = (): boolean => signal?.aborted === true || now() >= until;
      const best: Best = { seconds: [] };
      for (const [at, tile] of tiles.entries()) {
        const outcome = isOver() ? null : await tryTile(device, { kind, tile, calls, best, isOver, now, ...options });
        if (outcome === null) {
          untried += tiles.length - at;
          break;
        }
        tried.push(outcome);
        yield { type: 'tried', ...outcome };
        if (outcome.gflops !== null) continue;
        await close(device);
        device = await open();
      }
    }
    if (tried.length === 0) {
      signal?.throwIfAborted();
      throw new DeviceError(`no tile was measured within ${budgetMs / 1000} s: give it more time`);
    }
    return { tiles: winners(tried), tried, untried };
  } finally {
    await close(device);
  }
}

function tilesOf(profile: DeviceProfile, kind: TileKind, { candidates }: TuneOptions): Tile[] {
  const key = (tile: Tile): string => JSON.stringify(Object.entries(tile).sort());
  const all = [
    ...defaultTiles(profile, kind),
    ...(candidates?.[kind] ?? (candidates === undefined ? knownTiles(kind) : [])),
  ];
  const distinct = [...new Map(all.map((tile) => [key(tile), tile])).values()];
  return distinct.filter((tile) => tileProblem(profile, kind, tile as never) === null);
}

/**
 * Products that a kind computes in a run. Tensor cores have two kinds: `matrix` takes the products that its tile (the
 * default, then the winner) splits into enough workgroups, and `matrixSmall` the others.
 */
function callsOf(profile: DeviceProfile, kind: TileKind, shapes: readonly Shape[], tiles: TunedTiles): ProductCall[] {
  const dtype = kind === 'simt' ? 'f32' : 'f16';
  const calls = shapes.flatMap((shape) => (['nt', 'nn'] as const).map((op) => ({ op, ...shape, dtype }) as const));
  if (!isMatrixKind(kind) || profile.subgroupMatrix === null) return calls;
  return calls.filter(({ op, M, N, K }) => matrixKind({ ...profile, tiles }, { M, N: op === 'nt' ? N : K }) === kind);
}

/** Seconds that the best tile of a kind had taken after each of its products. */
type Best = { seconds: number[] };
type Trial = {
  readonly kind: TileKind;
  readonly tile: Tile;
  readonly calls: readonly ProductCall[];
  readonly best: Best;
  readonly rounds: number;
  readonly isOver: () => boolean;
  readonly now: Clock;
};

/** Checks and times one tile; null where time ended before it was done. */
async function tryTile(device: Device, trial: Trial): Promise<Tried | null> {
  const { kind, tile, calls, best, rounds, isOver, now } = trial;
  // both kinds of tensor cores, so that this tile is taken at every shape
  const tiles = isMatrixKind(kind) ? { matrix: tile, matrixSmall: tile } : { [kind]: tile };
  const profile = { ...device.profile, tier: TIER[kind], tiles } as DeviceProfile;
  try {
    for (const call of checksOf(kind === 'simt' ? 'f32' : 'f16')) {
      if (!(await isRight(device, profile, call)))
        return { kind, tile, gflops: null, reason: `wrong sums (${call.op} ${call.M}x${call.N}x${call.K})` };
    }
    let [flop, seconds] = [0, 0];
    const after: number[] = [];
    for (const [i, call] of calls.entries()) {
      if (isOver()) return null;
      seconds += await timed(device, profile, call, { rounds, now });
      flop += 2 * call.M * call.N * call.K;
      after.push(seconds);
      if (i + 1 < calls.length && seconds > DROPPED_BEYOND * (best.seconds[i] ?? Number.POSITIVE_INFINITY))
        return { kind, tile, gflops: flop / seconds / 1e9, reason: `left after ${i + 1} of ${calls.length} products` };
    }
    if (seconds < (best.seconds.at(-1) ?? Number.POSITIVE_INFINITY)) best.seconds = after;
    return { kind, tile, gflops: flop / seconds / 1e9, reason: null };
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    return { kind, tile, gflops: null, reason: error.message.split('\n')[0] ?? '' };
  }
}

/**
 * Compares with the direct kernels, bit for bit: the operands are such that every order of summing gives the same
 * result.
 */
async function isRight(device: Device, profile: DeviceProfile, call: ProductCall): Promise<boolean> {
  const of = (p: DeviceProfile): Promise<Float32Array> => using(device, p, call, (product) => product.result());
  const [got, want] = [await of(profile), await of({ ...profile, tier: 'direct' })];
  return got.length === want.length && got.every((value, i) => value === want[i]);
}

async function timed(
  device: Device,
  profile: DeviceProfile,
  call: ProductCall,
  { rounds, now }: Pick<Trial, 'rounds' | 'now'>,
): Promise<number> {
  const work = async (product: Product): Promise<number> => {
    product.fillWithNoise();
    const { repeats } = await repeatsOf(product.seconds);
    const times: number[] = [];
    for (let i = 0; i < rounds; i++) times.push(await product.seconds(repeats));
    return times.sort((a, b) => a - b)[times.length >> 1] as number;
  };
  return using(device, profile, call, work, now);
}

async function using<T>(
  device: Device,
  profile: DeviceProfile,
  call: ProductCall,
  use: (product: Product) => Promise<T>,
  now?: Clock,
): Promise<T> {
  const product = await prepareProduct(device, profile, call, now);
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
      .filter((t) => t.kind === kind && t.reason === null)
      .sort((a, b) => (b.gflops ?? 0) - (a.gflops ?? 0))[0];
    if (best !== undefined) tiles[kind] = best.tile;
  }
  return tiles as TunedTiles;
}
