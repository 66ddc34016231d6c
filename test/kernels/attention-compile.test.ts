/** The tensor-core kernels of attention on Dawn's null backend: compiled and validated for the matrices of devices that are not here. */
import { describe, expect, it } from 'vitest';
import type { DeviceProfile, MatrixConfig } from '../../src/gpu/device-profile.ts';
import { ShaderLibrary } from '../../src/gpu/kernel.ts';
import type { KernelSpec } from '../../src/gpu/kernel-spec.ts';
import { planAttention } from '../../src/kernels/attention.ts';
import {
  type MatrixBlocks,
  matrixBlockConstants,
  planMatrixBlocks,
} from '../../src/kernels/attention-subgroup-matrix.ts';
import { rejection } from '../formats/files.ts';
import { device } from '../gpu/null-device.ts';

const CONFIGS: Record<string, MatrixConfig> = {
  NVIDIA: { M: 16, N: 16, K: 16, subgroupSize: 32, sized: true },
  'lavapipe and Apple': { M: 8, N: 8, K: 8, subgroupSize: 8, sized: true },
  'Apple with 32 lanes': { M: 8, N: 8, K: 8, subgroupSize: 32, sized: true },
  Intel: { M: 8, N: 16, K: 16, subgroupSize: 32, sized: true },
};
const HEAD_DIMS = [64, 96, 128];
const KERNELS = ['fwd', 'dq', 'dkv'] as const;
/** The null device's own limits: 256 invocations and 16 KiB; a GPU's blocks need more, and are planned below. */
const LIMITS = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16_384 };
const LARGE = { maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupStorageSize: 49_152 };
const profileOf = (subgroupMatrix: MatrixConfig, limits = {}): DeviceProfile => ({
  ...device.profile,
  subgroupMatrix,
  limits: { ...device.profile.limits, ...LIMITS, ...limits },
});

/** As a pipeline, which checks memory and matrices as well; as a module where it binds more than the 8 buffers of this backend. */
async function compile(spec: KernelSpec): Promise<void> {
  const kernel = device.shaders.interfaceOf(spec);
  const buffers = kernel.bindings.filter(({ access }) => access !== 'uniform').length;
  if (buffers <= device.gpu.limits.maxStorageBuffersPerShaderStage)
    await device.guarded('compiling', () => device.pipeline(kernel));
  else await compileModule(spec);
}

async function compileModule(spec: KernelSpec): Promise<void> {
  const { code } = await device.shaders.link(spec);
  const { messages } = await device.gpu.createShaderModule({ code }).getCompilationInfo();
  expect(messages.filter((m) => m.type === 'error').map((m) => m.message)).toEqual([]);
}

const VARIANT = { fwd: ['AHEAD', 'O_F16'], dq: [], dkv: ['BY_KEY', 'DV_F16'] };
/** Every kernel of a head dim, with and without packed documents. */
function specs(config: MatrixConfig, blocks: MatrixBlocks, D: number): KernelSpec[] {
  return [[], ['PACKED']].flatMap((packed) =>
    Object.entries(blocks).map(([kernel, block]) => ({
      name: `attention_${kernel === 'fwd' ? 'fwd' : 'bwd'}_subgroup_matrix`,
      when: ['SIZED', ...packed, ...VARIANT[kernel as keyof typeof VARIANT]],
      constants: matrixBlockConstants(config, block, D),
    })),
  );
}

describe('attention on tensor cores compiles and validates on the null backend', () => {
  for (const [name, config] of Object.entries(CONFIGS)) {
    for (const D of HEAD_DIMS) {
      it(`${name}: ${config.M}x${config.N}x${config.K}, head dim ${D}`, async () => {
        const small = planMatrixBlocks(profileOf(config), D, KERNELS);
        // backward at 96 takes 17 KiB at least where matrices are 16 high
        expect(typeof small).toBe(D > 64 ? 'string' : 'object');
        if (typeof small !== 'string') for (const spec of specs(config, small, D)) await compile(spec);
        const large = planMatrixBlocks(profileOf(config, LARGE), D, KERNELS) as MatrixBlocks;
        expect(large.fwd).toEqual({ WR: 4, WC: 2, BC: 32 });
        expect(large.dq).toEqual({ WR: 2, WC: 2, BC: 32 });
        // its own rows are as many as the others of a round, or more
        expect(large.dkv).toEqual({ WR: config.M === 8 ? 4 : 2, WC: 2, BC: 32 });
        for (const spec of specs(config, large, D)) await compileModule(spec);
        device.throwIfFailed();
      });
    }
  }

  it('an include that is not there is an error', () => {
    const sources = new Map([['x.wgsl', 'enable chromium_experimental_subgroup_matrix;\n@include("lib/gone.wgsl")\n']]);
    expect(() => new ShaderLibrary(sources).interfaceOf({ name: 'x' })).toThrow(/x\.wgsl.*includes lib\/gone\.wgsl/s);
  });

  it('what does not compile in an included file is an error with its place there', async () => {
    // a head dim of half a matrix: no sums
    const config = { ...(CONFIGS.NVIDIA as MatrixConfig), K: 8 };
    const spec = {
      name: 'attention_fwd_subgroup_matrix',
      when: ['SIZED'],
      constants: matrixBlockConstants(config, { WR: 2, WC: 1, BC: 16 }, 8),
    };
    const wrong = await rejection(device.pipeline(device.shaders.interfaceOf(spec)));
    expect(wrong.message).toMatch(/shaders\/lib\/attention_matrices\.wgsl:\d+:\d+ /);
  });
});

describe('no plan', () => {
  const config = CONFIGS.NVIDIA as MatrixConfig;
  it('of a head dim whose sums would fill the registers: backward goes by simt, and says why', () => {
    const profile: DeviceProfile = { ...profileOf(config, LARGE), software: false, tier: 'subgroup_matrix' };
    expect(planAttention(profile, 'f16', 128)).toMatchObject({
      forward: { tier: 'subgroup_matrix' },
      backward: { tier: 'subgroup_matrix' },
    });
    expect(planAttention(profile, 'f16', 256)).toMatchObject({
      forward: { tier: 'subgroup_matrix' },
      backward: {
        tier: 'simt',
        reason: 'no subgroup_matrix: a head dim of 256 is above 128, and its sums would fill the registers',
      },
    });
  });
  it('in blocks whose parts matrices of other sizes divide', () => {
    const wide = planMatrixBlocks(profileOf({ ...config, N: 32 }, LARGE), 128, ['fwd']);
    expect(wide).toMatchObject({ fwd: { WC: 1, BC: 32 } });
  });
  it('of a head dim that matrices do not divide, too little memory, too few bindings, or no matrices: the reason', () => {
    expect(planMatrixBlocks(profileOf(config), 72, KERNELS)).toMatch(/16x16x16 do not divide a head dim of 72/);
    // blocks have 32 or 64 columns, in one or two parts
    for (const odd of [{ M: 24 }, { K: 24 }, { N: 24 }, { N: 64 }, { subgroupSize: 24 }, { M: 64, subgroupSize: 64 }])
      expect(planMatrixBlocks(profileOf({ ...config, ...odd }, LARGE), 64, ['fwd']), JSON.stringify(odd)).toMatch(
        /do not divide/,
      );
    expect(planMatrixBlocks(profileOf(config, { maxComputeWorkgroupStorageSize: 4096 }), 128, KERNELS)).toMatch(
      /4096 bytes/,
    );
    expect(planMatrixBlocks(profileOf(config, { maxStorageBuffersPerShaderStage: 8 }), 128, KERNELS)).toMatch(
      /binds 8 storage/,
    );
    expect(planMatrixBlocks({ ...profileOf(config), subgroupMatrix: null }, 64, KERNELS)).toBe(
      'it has no subgroup matrices',
    );
  });
});
