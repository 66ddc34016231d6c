import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { tileProblem } from '../../src/gpu/tiles.ts';
import {
  readTuning,
  type TuningKey,
  tuningDirectory,
  tuningFile,
  tuningKey,
  writeTuning,
} from '../../src/node/tuning.ts';
import { thrown } from '../formats/files.ts';

const profile = KNOWN_PROFILES.nvidia as DeviceProfile;
const key: TuningKey = { adapter: 'nvidia hopper H200', driver: 'NVIDIA: 570.1', nibble: '0.1.0', webgpu: '0.6.2' };
const tiles = {
  simt: { BM: 128, BN: 64, BK: 16, TM: 8, TN: 4 },
  matrix: { subgroupRows: 2, subgroupCols: 2, matrixRows: 4, matrixCols: 2, BK: 32, stages: 1 },
};
let directory = '';
beforeEach(() => {
  directory = path.join(mkdtempSync(path.join(os.tmpdir(), 'nibble-tuning-')), 'kernels');
});
const kept = () => writeTuning(directory, { ...key, measured: '2026-01-01T00:00:00.000Z', tiles });

describe('the tiles kept for a GPU', () => {
  it('come back for the same GPU, driver and versions', async () => {
    const file = await kept();
    expect(path.basename(file)).toBe('nvidia-hopper-h200.json');
    expect(readTuning(directory, key, profile)).toEqual({ tiles, notice: null });
  });

  it('may name one for small products, which older files lack', async () => {
    const small = { ...tiles, matrixSmall: { ...tiles.matrix, matrixRows: 1 } };
    const file = await writeTuning(directory, { ...key, measured: '2026-01-01T00:00:00.000Z', tiles: small });
    expect(readTuning(directory, key, profile)).toEqual({ tiles: small, notice: null });
    writeFileSync(file, readFileSync(file, 'utf8').replace('"matrixRows": 1', '"matrixRows": 0'));
    expect(thrown(() => readTuning(directory, key, profile)).message).toContain('tiles.matrixSmall.matrixRows is 0');
  });

  it('are none, without a word, where nothing was tuned', () => {
    expect(readTuning(directory, key, profile)).toEqual({ tiles: {}, notice: null });
  });

  it.each([
    ['driver', 'NVIDIA: 575.2'],
    ['nibble', '0.2.0'],
    ['webgpu', '0.7.0'],
    ['adapter', 'nvidia hopper h200'],
  ] as const)('are ignored with a notice when %s has changed', async (name, value) => {
    await kept();
    const { tiles: found, notice } = readTuning(directory, { ...key, [name]: value }, profile);
    expect(found).toEqual({});
    expect(notice).toContain('is ignored: tuned for ');
    expect(notice).toContain(`"${key[name]}", and this is "${value}"`);
  });

  it.each([
    ['not JSON', () => '{"format": 1', 'is not JSON'],
    ['null', () => 'null', 'is not an object'],
    ['another format', (text: string) => text.replace('"format": 1', '"format": 2'), 'has format 2, wanted 1'],
    ['no driver', (text: string) => text.replace('"driver"', '"drivers"'), 'driver is missing'],
    ['no tiles', (text: string) => text.replace('"tiles"', '"tile"'), 'tiles is missing'],
    ['an unknown kind', (text: string) => text.replace('"simt"', '"simd"'), 'tiles.simd is none of'],
    ['half a tile', (text: string) => text.replace('"BN"', '"BX"'), 'tiles.simt.BN is absent'],
    ['a tile of text', (text: string) => text.replace('"BM": 128', '"BM": "128"'), 'tiles.simt.BM is "128"'],
    ['a tile too large', (text: string) => text.replace('"BM": 128', '"BM": 4096'), 'tiles.simt cannot be used: needs'],
    ['an odd tile', (text: string) => text.replace('"TM": 8', '"TM": 6'), 'have to be multiples of 4'],
    ['a depth no matrix divides', (text: string) => text.replace('"BK": 32', '"BK": 24'), 'multiple of 16'],
  ] as const)('are an error that says to delete the file: %s', async (_, change, says) => {
    const file = await kept();
    writeFileSync(file, change(readFileSync(file, 'utf8')));
    const error = thrown(() => readTuning(directory, key, profile));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain(says);
    expect(error.message).toContain(`${file}: `);
    expect(error.message).toContain('delete the file; nibble tune-kernels makes a new one');
  });

  it('lie below XDG_CACHE_HOME where that is absolute, else below ~/.cache', () => {
    expect(tuningDirectory({ XDG_CACHE_HOME: '/somewhere' })).toBe('/somewhere/nibble/kernels');
    const usual = path.join(os.homedir(), '.cache', 'nibble', 'kernels');
    expect(tuningDirectory({})).toBe(usual);
    expect(tuningDirectory({ XDG_CACHE_HOME: 'relative' })).toBe(usual);
  });

  it('are filed under the GPU, with the versions of this package', () => {
    const info = {
      vendor: 'v',
      architecture: '',
      device: 'D 1/2',
      description: 'driver 3',
      isFallbackAdapter: false,
    };
    const made = tuningKey({ ...info, features: [], limits: {}, toggles: [] });
    expect(made).toMatchObject({ adapter: 'v D 1/2', driver: 'driver 3', webgpu: '0.6.2' });
    expect(tuningFile('/x', made)).toBe('/x/v-d-1-2.json');
  });
});

describe('what a device can take', () => {
  it('is said by kind', () => {
    expect(tileProblem(profile, 'simt', tiles.simt)).toBe(null);
    expect(tileProblem(profile, 'matrix', tiles.matrix)).toBe(null);
    expect(tileProblem(profile, 'matrix', { ...tiles.matrix, stages: 3 })).toBe('stages has to be 1 or 2');
    const swiftshader = KNOWN_PROFILES.swiftshader as DeviceProfile;
    expect(tileProblem(swiftshader, 'matrix', tiles.matrix)).toBe('it has no subgroup matrices');
    expect(tileProblem(swiftshader, 'simtF16', tiles.simt)).toBe('it has no shader-f16');
    const large = { BM: 128, BN: 128, BK: 32, TM: 8, TN: 8 };
    expect(tileProblem(swiftshader, 'simt', large)).toBe(
      'needs 256 invocations and 33792 bytes per workgroup, the device allows 256 and 16384',
    );
  });
});
