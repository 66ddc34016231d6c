import { describe, expect, it } from 'vitest';
import type { MatrixConfig, MatrixTile } from '../../src/gpu/device-profile.ts';
import { matrixConfigOf, type SubgroupMatrixConfig } from '../../src/gpu/subgroup-matrix.ts';
import { matrixStorageBytes } from '../../src/gpu/tiles.ts';
import { DEFAULT_MATRIX_TILE, matrixConstants } from '../../src/kernels/matmul-subgroup-matrix.ts';
import { rejection } from '../formats/files.ts';
import { device } from './null-device.ts';

const NAME = 'matmul_subgroup_matrix';
/** What devices are known to offer. The null backend has subgroups of 4 to 128, so every kernel names its size here. */
const CONFIGS: Record<string, MatrixConfig> = {
  NVIDIA: { M: 16, N: 16, K: 16, subgroupSize: 32, sized: true },
  'lavapipe and Apple': { M: 8, N: 8, K: 8, subgroupSize: 8, sized: true },
  'Apple with 32 lanes': { M: 8, N: 8, K: 8, subgroupSize: 32, sized: true },
  Intel: { M: 8, N: 16, K: 16, subgroupSize: 32, sized: true },
};
const TILES: readonly MatrixTile[] = [
  DEFAULT_MATRIX_TILE,
  { subgroupRows: 1, subgroupCols: 2, matrixRows: 4, matrixCols: 1, BK: 16, stages: 2 },
];

const VECTORS = ['VEC4_A', 'VEC4_B'];

const compile = async (config: MatrixConfig, tile: MatrixTile, when: readonly string[]): Promise<void> => {
  const spec = {
    name: NAME,
    when: [...(config.sized ? ['SIZED'] : []), ...when],
    constants: matrixConstants(config, tile),
  };
  await device.guarded('compiling', () => device.pipeline(device.shaders.interfaceOf(spec)));
  device.throwIfFailed();
};

describe('the tensor-core kernel compiles and validates on the null backend', () => {
  for (const [name, config] of Object.entries(CONFIGS)) {
    for (const tile of TILES) {
      it(`${name}: ${config.M}x${config.N}x${config.K}, tile ${JSON.stringify(tile)}`, async () => {
        for (const layout of [[], ['B_DEPTH']])
          for (const loads of [
            [],
            ['VEC4_A'],
            ['VEC4_A', 'VEC4_B'],
            ['PLUS'],
            [...VECTORS, 'PLUS', 'VEC4_PLUS', 'BIAS'],
          ])
            await compile(config, tile, [...layout, ...loads]);
      });
    }
  }

  it('without naming a subgroup size, as for NVIDIA', async () => {
    const config = { ...(CONFIGS.NVIDIA as MatrixConfig), sized: false };
    for (const layout of [[], ['B_DEPTH']]) await compile(config, DEFAULT_MATRIX_TILE, [...layout, 'VEC4_A', 'VEC4_B']);
  });

  it('an unknown constant, and what does not compile, are errors with a place', async () => {
    const spec = { name: NAME, when: ['SIZED'], constants: { WAVES: 2 } };
    const unknown = await rejection(device.pipeline(device.shaders.interfaceOf(spec)));
    expect(unknown.message).toContain('constant WAVES is given, but the shader has none');
    const odd = { ...matrixConstants(CONFIGS.NVIDIA as MatrixConfig, DEFAULT_MATRIX_TILE), SM: 0 };
    const wrong = await rejection(device.pipeline(device.shaders.interfaceOf({ ...spec, constants: odd })));
    expect(wrong.message).toMatch(/shaders\/matmul_subgroup_matrix\.wgsl:\d+:\d+ /);
  });

  it('the default tile fits 16 KiB of workgroup memory with every known matrix', () => {
    for (const config of Object.values(CONFIGS))
      expect(matrixStorageBytes(config, DEFAULT_MATRIX_TILE)).toBeLessThanOrEqual(16 * 1024);
  });
});

describe('the choice among the matrix products of an adapter', () => {
  const product = (M: number, N: number, K: number, from = 'f16', to = 'f32'): SubgroupMatrixConfig => ({
    ...{ M, N, K, componentType: from, resultComponentType: to },
  });
  const hopper = [product(16, 8, 8), product(16, 16, 16, 'f16', 'f16'), product(16, 16, 16), product(16, 8, 16)];

  it('the largest of f16 operands with f32 sums', () => {
    const info = { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: hopper };
    expect(matrixConfigOf(info, true)).toEqual({ M: 16, N: 16, K: 16, subgroupSize: 32, sized: false });
    expect(matrixConfigOf(info, false)).toEqual({ M: 16, N: 16, K: 16, subgroupSize: 32, sized: false });
  });

  it('none without such a product, or without subgroups', () => {
    const info = { subgroupMinSize: 32, subgroupMaxSize: 32 };
    expect(matrixConfigOf({ ...info, subgroupMatrixConfigs: [product(8, 8, 8, 'f16', 'f16')] }, true)).toBe(null);
    expect(matrixConfigOf({ ...info, subgroupMatrixConfigs: [] }, true)).toBe(null);
    expect(matrixConfigOf(info, true)).toBe(null);
    expect(matrixConfigOf({ subgroupMatrixConfigs: hopper }, true)).toBe(null);
  });

  it('with several subgroup sizes, 32 by name or none', () => {
    const intel = { subgroupMinSize: 16, subgroupMaxSize: 32, subgroupMatrixConfigs: [product(8, 16, 16)] };
    expect(matrixConfigOf(intel, true)).toEqual({ M: 8, N: 16, K: 16, subgroupSize: 32, sized: true });
    expect(matrixConfigOf(intel, false)).toBe(null);
    const amd = { ...intel, subgroupMinSize: 32, subgroupMaxSize: 64 };
    expect(matrixConfigOf(amd, true)?.subgroupSize).toBe(32);
    const lavapipe = { ...intel, subgroupMinSize: 8, subgroupMaxSize: 8 };
    expect(matrixConfigOf(lavapipe, true)).toMatchObject({ subgroupSize: 8, sized: false });
  });
});
