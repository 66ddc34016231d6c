/** Fresh adapters as PEFT draws them from a torch seed (numerics of peft.tuners.lora.layer, reset_lora_parameters). */
import type { TorchRng } from '../formats/torch-rng.ts';

export type LoraInit = true | 'gaussian';
export type LoraInitTarget = { readonly module: string; readonly r: number; readonly in: number; readonly out: number };

/** nn.Linear draws its own weights first: PEFT's A and B, which it then replaces. */
export function initialLoraA(rng: TorchRng, { r, in: width, out }: LoraInitTarget, init: LoraInit): Float32Array {
  rng.skip(r * width + r * out);
  if (init === 'gaussian') return rng.normal(r * width, 1 / r);
  // kaiming_uniform with a = sqrt(5), in the order of operations of torch: sometimes one ulp below 1 / sqrt(in).
  const bound = Math.sqrt(3) * (Math.sqrt(2 / (1 + 5)) / Math.sqrt(width));
  return rng.uniform(r * width, -bound, bound);
}
