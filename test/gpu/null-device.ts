/**
 * A device of Dawn's null backend, which compiles and validates and executes nothing: it has every feature, so tensor-core
 * kernels are checked on machines without one. For a test file of its own, since the instance is of the process.
 */
import { afterAll } from 'vitest';
import { create, globals } from 'webgpu';
import { Device } from '../../src/gpu/device.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { loadShaders } from '../../src/node/device.ts';

Object.assign(globalThis, globals);
// held here: Dawn aborts the process when it is collected while a device lives
let instance: GPU | null = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
const adapter = (await instance.requestAdapter()) as GPUAdapter;
const features = ['shader-f16', 'subgroups', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'];
const gpu = await adapter.requestDevice({ requiredFeatures: features as GPUFeatureName[] });

/** With the default limits: 256 invocations and 16 KiB of memory per workgroup. */
export const device = new Device({
  gpu,
  profile: { ...(KNOWN_PROFILES.nvidia as DeviceProfile), name: 'null' },
  info: {
    vendor: '',
    architecture: '',
    device: '',
    description: 'null backend',
    isFallbackAdapter: false,
    features,
    limits: {},
    toggles: [],
  },
  shaders: loadShaders(),
});

afterAll(async () => {
  device.destroy();
  await gpu.lost;
  instance = null;
});
