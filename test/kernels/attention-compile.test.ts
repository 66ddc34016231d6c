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

/** Every kernel of a head dim, with and without packed documents. */
function specs(config: MatrixConfig, blocks: MatrixBlocks, D: number): KernelSpec[] {
  return [[], ['PACKED']].flatMap((packed) =>
    Object.entries(blocks).map(([kernel, block]) => ({
      name: `attention_${kernel === 'fwd' ? 'fwd' : 'bwd'}_subgroup_matrix`,
      when: ['SIZED', ...packed, ...(kernel === 'dkv' ? ['BY_KEY'] : [])],
      constants: matrixBlockConstants(config, block, D),
    })),
  );
}

describe('attention on tensor cores compiles and validates on the null backend', () => {
  for (const [name, config] of Object.entries(CONFIGS)) {
    for (const D of HEAD_DIMS) {
      it(`${name}: ${config.M}x${config.N}x${config.K}, head dim ${D}`, async () => {
        const blocks = planMatrixBlocks(profileOf(config), D) as MatrixBlocks;
        for (const spec of specs(config, blocks, D)) await compile(spec);
        const large = planMatrixBlocks(profileOf(config, LARGE), D) as MatrixBlocks;
        expect(large.fwd).toEqual({ WR: 8, WC: 1, BC: 32 });
        expect(large.dkv).toEqual({ WR: 4, WC: 2, BC: 32 });
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
    const config = { ...(CONFIGS.NVIDIA as MatrixConfig), M: 0 };
    const spec = {
      name: 'attention_fwd_subgroup_matrix',
      when: ['SIZED'],
      constants: matrixBlockConstants(config, { WR: 2, WC: 1, BC: 16 }, 64),
    };
    const wrong = await rejection(device.pipeline(device.shaders.interfaceOf(spec)));
    expect(wrong.message).toMatch(/shaders\/lib\/attention_matrices\.wgsl:\d+:\d+ /);
  });
});

describe('no plan', () => {
  const config = CONFIGS.NVIDIA as MatrixConfig;
  it('of a head dim whose sums would fill the registers: attention goes by simt, and says why', () => {
    const profile: DeviceProfile = { ...profileOf(config, LARGE), software: false, tier: 'subgroup_matrix' };
    expect(planAttention(profile, 'f16', 128).tier).toBe('subgroup_matrix');
    expect(planAttention(profile, 'f16', 256)).toMatchObject({
      tier: 'simt',
      reason: 'no subgroup_matrix: a head dim of 256 is above 128, and its sums would fill the registers',
    });
  });
  it('of a head dim that matrices do not divide, too little memory, too few bindings, or no matrices: the reason', () => {
    expect(planMatrixBlocks(profileOf(config), 72)).toMatch(/16x16x16 do not divide a head dim of 72/);
    expect(planMatrixBlocks(profileOf(config, { maxComputeWorkgroupStorageSize: 4096 }), 128)).toMatch(/4096 bytes/);
    expect(planMatrixBlocks(profileOf(config, { maxStorageBuffersPerShaderStage: 8 }), 128)).toMatch(/binds 8 storage/);
    expect(planMatrixBlocks({ ...profileOf(config), subgroupMatrix: null }, 64)).toBe('it has no subgroup matrices');
  });
});
