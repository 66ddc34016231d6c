/** Fresh adapters as PEFT draws them from a torch seed (numerics of peft.tuners.lora.layer, reset_lora_parameters). */
import type { TorchRng } from '../formats/torch-rng.ts';

/** false leaves both matrices as PyTorch makes them: random, so that the adapter changes the model from the start. */
export type LoraInit = boolean | 'gaussian';
export type LoraInitTarget = {
  readonly kind: 'linear' | 'embedding';
  readonly r: number;
  readonly in: number;
  readonly out: number;
};
/** A (r, in), B (out, r); of an embedding A (r, tokens), B (hidden size, r). */
export type InitialPair = { readonly A: Float32Array; readonly B: Float32Array };

/** The values of a pair. Every pair takes its draws from `rng` in the order of the targets. */
export function initialPair(rng: TorchRng, target: LoraInitTarget, init: LoraInit): InitialPair {
  return target.kind === 'linear' ? linearPair(rng, target, init) : embeddingPair(rng, target, init);
}

/** nn.Linear draws its own weights first: PEFT's A and B, which it then replaces. */
function linearPair(rng: TorchRng, { r, in: width, out }: LoraInitTarget, init: LoraInit): InitialPair {
  if (init === false) return { A: kaiming(rng, r, width), B: kaiming(rng, out, r) };
  rng.skip(r * width + r * out);
  const A = init === 'gaussian' ? rng.normal(r * width, 1 / r) : kaiming(rng, r, width);
  return { A, B: new Float32Array(out * r) };
}

/** PEFT draws both as normals, then starts A at zero and B anew. */
function embeddingPair(rng: TorchRng, { r, in: width, out }: LoraInitTarget, init: LoraInit): InitialPair {
  const drawn = { A: rng.normal(r * out, 1), B: rng.normal(width * r, 1) };
  return init === false ? drawn : { A: new Float32Array(r * out), B: rng.normal(width * r, 1) };
}

/** kaiming_uniform with a = sqrt(5), in the order of operations of torch: sometimes one ulp below 1 / sqrt(width). */
function kaiming(rng: TorchRng, rows: number, width: number): Float32Array {
  const bound = Math.sqrt(3) * (Math.sqrt(2 / (1 + 5)) / Math.sqrt(width));
  return rng.uniform(rows * width, -bound, bound);
}
