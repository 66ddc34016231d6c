/** The tensor-core kernels of attention on Dawn's null backend: compiled and validated for the matrices of devices that are not here. */
import { describe, expect, it } from 'vitest';
import type { DeviceProfile, MatrixConfig } from '../../src/gpu/device-profile.ts';
import type { KernelSpec } from '../../src/gpu/kernel.ts';
import {
  type MatrixBlocks,
  matrixBlockConstants,
  planMatrixBlocks,
} from '../../src/kernels/attention-subgroup-matrix.ts';
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
const profileOf = (subgroupMatrix: MatrixConfig, limits = {}): DeviceProfile => ({
  ...device.profile,
  subgroupMatrix,
  limits: { ...device.profile.limits, ...LIMITS, ...limits },
});

/** As a pipeline, which checks memory and matrices as well; as a module where it binds more than the 8 buffers of this backend. */
async function compile(spec: KernelSpec): Promise<void> {
  const kernel = device.shaders.interfaceOf(spec);
  const buffers = kernel.bindings.filter(({ access }) => access !== 'uniform').length;
  if (buffers <= device.gpu.limits.maxStorageBuffersPerShaderStage) {
    await device.guarded('compiling', () => device.pipeline(kernel));
    return;
  }
  const { code } = await device.shaders.link(spec);
  const { messages } = await device.gpu.createShaderModule({ code }).getCompilationInfo();
  expect(messages.filter((m) => m.type === 'error').map((m) => m.message)).toEqual([]);
}

describe('attention on tensor cores compiles and validates on the null backend', () => {
  for (const [name, config] of Object.entries(CONFIGS)) {
    for (const D of HEAD_DIMS) {
      it(`${name}: ${config.M}x${config.N}x${config.K}, head dim ${D}`, async () => {
        const blocks = planMatrixBlocks(profileOf(config), D) as MatrixBlocks;
        expect(blocks).toBeTypeOf('object');
        for (const packed of [[], ['PACKED']]) {
          for (const [kernel, block] of Object.entries(blocks)) {
            await compile({
              name: `attention_${kernel === 'fwd' ? 'fwd' : 'bwd'}_subgroup_matrix`,
              when: ['SIZED', ...packed, ...(kernel === 'dkv' ? ['BY_KEY'] : [])],
              constants: matrixBlockConstants(config, block, D),
            });
          }
        }
        device.throwIfFailed();
      });
    }
  }
});
