/**
 * Tiles that `nibble tune-kernels` found, in the user's cache folder: a file per GPU, for one driver and one version.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import type { DeviceInfo } from '../gpu/device.ts';
import type { DeviceProfile, MatrixTile, SimtTile, TunedTiles } from '../gpu/device-profile.ts';
import { isMatrixKind, MATRIX_FIELDS, SIMT_FIELDS, TILE_KINDS, type TileKind, tileProblem } from '../gpu/tiles.ts';
import { cacheHome } from './cache-home.ts';

const FORMAT = 1;

/** Everything that must be the same for tiles to be valid; `adapter` is WebGPU's name of the GPU. */
export type TuningKey = {
  readonly adapter: string;
  readonly driver: string;
  readonly nibble: string;
  readonly webgpu: string;
};
type Tuning = TuningKey & { readonly format: number; readonly measured: string; readonly tiles: TunedTiles };

/** Folder of the files: `$XDG_CACHE_HOME/nibble/kernels`, by default below ~/.cache; null without a home. */
export function tuningDirectory(env: Readonly<Record<string, string | undefined>>): string | null {
  const cache = cacheHome(env);
  return cache === null ? null : path.join(cache, 'nibble', 'kernels');
}

/** Key of a device: the GPU and its driver, the versions of nibble and webgpu. */
export function tuningKey({ vendor, architecture, device, description }: DeviceInfo): TuningKey {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
    dependencies: Record<string, string>;
  };
  const adapter = [vendor, architecture, device].filter((word) => word !== '').join(' ') || 'unnamed';
  return { adapter, driver: description, nibble: manifest.version, webgpu: manifest.dependencies.webgpu ?? '' };
}

/** Path of the file for a GPU. */
export function tuningFile(directory: string, { adapter }: TuningKey): string {
  return path.join(
    directory,
    `${adapter
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '')}.json`,
  );
}

/**
 * Reads the tiles of a GPU. A file of another driver or version gives none and a notice that says so.
 * @throws DataError for a file that cannot be read, or that holds tiles this device cannot take
 */
export function readTuning(
  directory: string,
  key: TuningKey,
  profile: Omit<DeviceProfile, 'tiles'>,
): { tiles: TunedTiles; notice: string | null } {
  const file = tuningFile(directory, key);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { tiles: {}, notice: null };
    throw new DataError(file, `cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const found = parse(file, text);
  for (const name of ['driver', 'nibble', 'webgpu', 'adapter'] as const) {
    if (found[name] === key[name]) continue;
    const notice = `${file} is ignored: tuned for ${name} "${found[name]}", and this is "${key[name]}"; nibble tune-kernels renews it`;
    return { tiles: {}, notice };
  }
  for (const kind of TILE_KINDS) {
    const tile = found.tiles[kind];
    const problem = tile === undefined ? null : tileProblem(profile, kind, tile);
    if (problem !== null) throw broken(file, `tiles.${kind} cannot be used: ${problem}`);
  }
  return { tiles: found.tiles, notice: null };
}

/** Writes the file of the tuning's GPU, replacing an older one at once. @returns its path */
export async function writeTuning(directory: string, tuning: Omit<Tuning, 'format'>): Promise<string> {
  const file = tuningFile(directory, tuning);
  mkdirSync(directory, { recursive: true });
  await writeFileAtomic(file, `${JSON.stringify({ format: FORMAT, ...tuning }, null, 2)}\n`);
  return file;
}

function broken(file: string, why: string): DataError {
  return new DataError(file, `${why}: delete the file; nibble tune-kernels makes a new one`);
}

function parse(file: string, text: string): Tuning {
  let value: Partial<Tuning> | null;
  try {
    value = JSON.parse(text) as Partial<Tuning> | null;
  } catch (error) {
    throw broken(file, `is not JSON (${(error as Error).message})`);
  }
  if (typeof value !== 'object' || value === null) throw broken(file, 'is not an object');
  if (value.format !== FORMAT) throw broken(file, `has format ${show(value.format)}, wanted ${FORMAT}`);
  for (const name of ['adapter', 'driver', 'nibble', 'webgpu'] as const)
    if (typeof value[name] !== 'string') throw broken(file, `${name} is missing or no text`);
  const { tiles } = value;
  if (typeof tiles !== 'object' || tiles === null) throw broken(file, 'tiles is missing');
  for (const [kind, tile] of Object.entries(tiles)) checkTile(file, kind, tile);
  return value as Tuning;
}

function checkTile(file: string, kind: string, tile: Partial<SimtTile & MatrixTile> | null): void {
  if (!(TILE_KINDS as readonly string[]).includes(kind))
    throw broken(file, `tiles.${kind} is none of ${TILE_KINDS.join(', ')}`);
  const fields = isMatrixKind(kind as TileKind) ? MATRIX_FIELDS : SIMT_FIELDS;
  for (const field of fields) {
    const n = tile?.[field];
    if (!Number.isInteger(n) || (n as number) < 1)
      throw broken(file, `tiles.${kind}.${field} is ${show(n)}, wanted a positive integer`);
  }
}
