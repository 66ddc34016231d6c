/** Whether a device can compute in a dtype. */
import { DeviceError } from '../errors.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ComputeDtype } from './weight.ts';

/** @throws DeviceError for f16 on a device without the feature */
export function requireComputeDtype({ shaderF16, name }: DeviceProfile, dtype: ComputeDtype): void {
  if (dtype === 'f32' || shaderF16) return;
  throw new DeviceError(
    `compute_dtype float16 needs the shader-f16 feature, which ${name} lacks: set compute_dtype: float32`,
  );
}
