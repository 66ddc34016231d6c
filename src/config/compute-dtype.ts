/** bfloat16 and mixed precision on a given device: float16 with a loss scale where it has float16, else float32. */
import type { ResolvedConfig } from './load.ts';

/**
 * Settles what a configuration leaves to the device, and says so; returns it as it is where nothing is left. The choice is
 * written into bf16_as, so that the configuration of a run repeats it on any device.
 */
export function settleComputeDtype(
  config: ResolvedConfig,
  device: { readonly name: string; readonly shaderF16: boolean },
): { readonly config: ResolvedConfig; readonly note: string | null } {
  const { values, origins } = config;
  if (!values.float16_if_possible) return { config, note: null };
  const dtype = device.shaderF16 ? 'float16' : 'float32';
  const asked = values.fp16 ? 'fp16' : 'bfloat16, which WebGPU does not have,';
  const how = device.shaderF16 ? 'float16 with a loss scale' : `float32: ${device.name} has no float16`;
  const origin = { source: 'default', where: 'the device', note: 'as the device allows' } as const;
  return {
    config: {
      ...config,
      values: {
        ...values,
        compute_dtype: dtype,
        bnb_4bit_compute_dtype: dtype,
        bf16_as: dtype,
        float16_if_possible: false,
      },
      origins: { ...origins, bf16_as: origin },
    },
    note: `${asked} is computed as ${how} (bf16_as: float32 or float16 overrides)`,
  };
}
