/**
 * The scalars that change from step to step: the host's half of shaders/lib/step.wgsl. With a loss scale the GPU
 * overwrites the first four (src/kernels/loss-scale.ts).
 */
const STEP_FIELDS = [
  ['lr', 'f32'],
  ['bias1', 'f32'],
  ['sqrt_bias2', 'f32'],
  ['loss_scale', 'f32'],
  ['inv_tokens', 'f32'],
  ['step', 'u32'],
  ['micro', 'u32'],
  ['seed', 'u32'],
] as const;

export type StepScalars = Record<(typeof STEP_FIELDS)[number][0], number>;

export const STEP_BYTES = STEP_FIELDS.length * 4;

/** Writes the scalars into STEP_BYTES, little-endian, in the order of struct Step. */
export function packStepScalars(scalars: StepScalars, into: ArrayBuffer): void {
  const view = new DataView(into);
  STEP_FIELDS.forEach(([name, type], i) => {
    if (type === 'f32') view.setFloat32(4 * i, scalars[name], true);
    else view.setUint32(4 * i, scalars[name], true);
  });
}
