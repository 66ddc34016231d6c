import { describe, expect, it } from 'vitest';
import type { DeviceProfile, MatrixConfig, MatrixTile } from '../../src/gpu/device-profile.ts';
import { matrixConfigOf, type SubgroupMatrixConfig } from '../../src/gpu/subgroup-matrix.ts';
import { matrixStorageBytes } from '../../src/gpu/tiles.ts';
import { defaultMatrixTile, matrixConstants } from '../../src/kernels/matmul-subgroup-matrix.ts';
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
/** The null device's own 16 KiB of workgroup memory, and what a GPU has. */
const [SMALL, LARGE] = [16 * 1024, 48 * 1024];
const profileOf = (subgroupMatrix: MatrixConfig, maxComputeWorkgroupStorageSize = SMALL): DeviceProfile => ({
  ...device.profile,
  subgroupMatrix,
  limits: { ...device.profile.limits, maxComputeWorkgroupStorageSize },
});
const LEAST: MatrixTile = { subgroupRows: 1, subgroupCols: 2, matrixRows: 4, matrixCols: 1, BK: 16, stages: 2 };

const WIDE = ['WIDE_A', 'WIDE_W'];
/** Loads one by one and wide, with and without checks; f16 rows of a; everything at once. What the host never asks for is left out. */
const LOADS = [
  ['WATCH'],
  ['WIDE_A', 'WATCH', 'WATCH_W'],
  [...WIDE, 'WATCH', 'STRAIGHT'],
  [...WIDE, 'FULL', 'STRAIGHT', 'TWO', 'WATCH'],
  [...WIDE, 'FULL', 'WHOLE', 'STRAIGHT', 'A_F16', 'TWO'],
  [...WIDE, 'FULL', 'A_F16', 'PLUS', 'VEC4_PLUS', 'BIAS', 'TWO', 'WATCH', 'WATCH_W'],
  ['A_F16', 'WATCH', 'WATCH_W', 'PLUS'],
];

const specOf = (config: MatrixConfig, tile: MatrixTile, when: readonly string[]) => ({
  name: NAME,
  when: [...(config.sized ? ['SIZED'] : []), ...when],
  constants: matrixConstants(config, tile),
});

const compile = async (config: MatrixConfig, tile: MatrixTile, when: readonly string[]): Promise<void> => {
  const spec = specOf(config, tile, when);
  await device.guarded('compiling', () => device.pipeline(device.shaders.interfaceOf(spec)));
  device.throwIfFailed();
};

/** As a module alone, which does not check how much memory it needs. */
async function compileModule(config: MatrixConfig, tile: MatrixTile, when: readonly string[]): Promise<void> {
  const { code } = await device.shaders.link(specOf(config, tile, when));
  const { messages } = await device.gpu.createShaderModule({ code }).getCompilationInfo();
  expect(messages.filter((m) => m.type === 'error').map((m) => m.message)).toEqual([]);
}

describe('the tensor-core kernel compiles and validates on the null backend', () => {
  for (const [name, config] of Object.entries(CONFIGS)) {
    for (const tile of [defaultMatrixTile(profileOf(config), 'matrix'), LEAST]) {
      it(`${name}: ${config.M}x${config.N}x${config.K}, tile ${JSON.stringify(tile)}`, async () => {
        for (const loads of LOADS) {
          const when = tile.stages === 2 ? loads : loads.filter((condition) => condition !== 'TWO');
          for (const layout of [[], ['B_DEPTH'], ...(when.includes('WIDE_W') ? [['TURNED']] : [])])
            await compile(config, tile, [...layout, ...when]);
        }
      });
    }
    it(`${name}: the tile of a GPU`, async () => {
      const tile = defaultMatrixTile(profileOf(config, LARGE), 'matrix');
      for (const loads of LOADS)
        for (const layout of [[], ['B_DEPTH'], ...(loads.includes('WIDE_W') ? [['TURNED']] : [])])
          await compileModule(config, tile, [...layout, ...loads]);
    });
  }

  it('without naming a subgroup size, as for NVIDIA', async () => {
    const config = { ...(CONFIGS.NVIDIA as MatrixConfig), sized: false };
    for (const layout of [[], ['B_DEPTH']])
      await compile(config, defaultMatrixTile(profileOf(config), 'matrix'), [...layout, ...WIDE, 'WATCH']);
  });

  it('an unknown constant, and what does not compile, are errors with a place', async () => {
    const spec = { name: NAME, when: ['SIZED'], constants: { WAVES: 2 } };
    const unknown = await rejection(device.pipeline(device.shaders.interfaceOf(spec)));
    expect(unknown.message).toContain('constant WAVES is given, but the shader has none');
    const odd = { ...matrixConstants(CONFIGS.NVIDIA as MatrixConfig, LEAST), SM: 0 };
    const wrong = await rejection(device.pipeline(device.shaders.interfaceOf({ ...spec, constants: odd })));
    expect(wrong.message).toMatch(/shaders\/matmul_subgroup_matrix\.wgsl:\d+:\d+ /);
  });

  it('the default tile fits the workgroup memory that there is with every known matrix', () => {
    for (const config of Object.values(CONFIGS))
      for (const bytes of [SMALL, LARGE])
        for (const kind of ['matrix', 'matrixSmall'] as const)
          expect(matrixStorageBytes(config, defaultMatrixTile(profileOf(config, bytes), kind))).toBeLessThanOrEqual(
            bytes,
          );
  });
});

describe('the choice among the matrix products of an adapter', () => {
  const product = (M: number, N: number, K: number, from = 'f16', to = 'f32'): SubgroupMatrixConfig => ({
    M,
    N,
    K,
    componentType: from,
    resultComponentType: to,
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
