/** Trainable inputs of ops under test. */
import type { Tensor } from '../../src/gpu/tensor.ts';
import type { Bench } from '../gpu/harness.ts';

/** Makes an input that requires a gradient, and the zeroed tensor that receives it. */
export function trained(
  bench: Bench,
  label: string,
  data: Float32Array<ArrayBuffer>,
  shape: number[],
): { readonly tensor: Tensor; readonly grad: Tensor } {
  const tensor = bench.input(label, data, shape, { requiresGrad: true });
  const grad = bench.input(`d${label}`, new Float32Array(data.length), shape);
  bench.tape.bindGrad(tensor, grad);
  return { tensor, grad };
}
