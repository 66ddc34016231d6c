/** Values of an adapter before its first step: drawn as PEFT draws them from a torch seed, or read from its file. */
import { readFloats } from '../formats/checkpoint.ts';
import { type FloatDtype, floatType, type GpuFloat } from '../formats/dtype.ts';
import { requireFinite } from '../formats/finite.ts';
import { place } from '../formats/reader.ts';
import { roundedTo } from '../formats/rounding.ts';
import { TorchRng } from '../formats/torch-rng.ts';
import type { Adapter } from './files.ts';
import {
  type AdapterLayout,
  adapterTensors,
  EMBEDDING_A,
  EMBEDDING_B,
  isTransposed,
  LORA_A,
  LORA_B,
  LORA_B_BIAS,
  transposed,
} from './layout.ts';

/** PEFT's init_lora_weights, those that draw. false leaves both matrices random, so that the adapter changes the model from the start. */
export type LoraInit = boolean | 'gaussian';

/** Values by the names of `adapterTensors`, f32, each as it lies while it is trained: see `isTransposed`. */
export type StartValues = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

type Shape = { readonly r: number; readonly in: number; readonly out: number; readonly bias: boolean };
/** A (r, in), B (out, r); for an embedding A (r, tokens), B (hidden size, r). */
type Pair = { readonly A: Float32Array; readonly B: Float32Array };

/**
 * Draws every pair of a fresh adapter, target by target from one generator. DoRA's magnitudes are not among them: they are
 * norms of the weights; nor are rows of tokens, which start as the base's. Source: peft.tuners.lora.layer, reset_lora_parameters.
 * @param dtypeOf the type in which PEFT creates the adapter of a module; values carry its rounding
 */
export function drawAdapter(
  { targets, loraBias }: AdapterLayout,
  { seed, init }: { readonly seed: number; readonly init: LoraInit },
  dtypeOf: (module: string) => GpuFloat,
): StartValues {
  const rng = new TorchRng(seed);
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { name, kind, rank: r, in: width, out } of targets) {
    const shape = { r, in: width, out, bias: loraBias };
    const dtype = dtypeOf(name);
    if (kind === 'linear') {
      const { A, B, bias } = linearPair(rng, shape, init);
      if (bias !== null) values.set(`${name}.${LORA_B_BIAS}`, roundedTo(bias, dtype));
      values.set(`${name}.${LORA_A}`, roundedTo(A, dtype));
      values.set(`${name}.${LORA_B}`, roundedTo(B, dtype));
    } else {
      const { A, B } = embeddingPair(rng, shape, init);
      values.set(`${name}.${EMBEDDING_A}`, roundedTo(transposed(A, r, out), dtype));
      values.set(`${name}.${EMBEDDING_B}`, roundedTo(B, dtype));
    }
  }
  return values;
}

/** Reads every tensor of an adapter's file, what it trains of the base included. @throws DataError where one is not finite */
export async function storedValues({ source, layout }: Adapter): Promise<StartValues> {
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { key, name, shape } of adapterTensors(layout)) {
    const stored = (await readFloats(source, key)) as Float32Array<ArrayBuffer>;
    const { file, dtype } = source.info(key);
    requireFinite(`${place(source, file)}: ${key}`, stored, floatType(dtype as FloatDtype).torch);
    const [rows = 1, columns = 1] = shape;
    values.set(name, isTransposed(name) ? transposed(stored, rows, columns) : stored);
  }
  return values;
}

/** nn.Linear draws its own weights first: PEFT's A and B, which it then replaces. */
function linearPair(
  rng: TorchRng,
  { r, in: width, out, bias }: Shape,
  init: LoraInit,
): Pair & { bias: Float32Array | null } {
  if (init === false) {
    const pair = { A: kaiming(rng, r, width), B: kaiming(rng, out, r) };
    return { ...pair, bias: bias ? rng.uniform(out, -1 / Math.sqrt(r), 1 / Math.sqrt(r)) : null };
  }
  rng.skip(r * width + r * out + (bias ? out : 0));
  const A = init === 'gaussian' ? rng.normal(r * width, 1 / r) : kaiming(rng, r, width);
  return { A, B: new Float32Array(out * r), bias: bias ? new Float32Array(out) : null };
}

/** PEFT draws both as normals, then starts A at zero and B anew. */
function embeddingPair(rng: TorchRng, { r, in: width, out }: Shape, init: LoraInit): Pair {
  const drawn = { A: rng.normal(r * out, 1), B: rng.normal(width * r, 1) };
  return init === false ? drawn : { A: new Float32Array(r * out), B: rng.normal(width * r, 1) };
}

/** kaiming_uniform with a = sqrt(5), in the order of operations of torch: sometimes one ulp below 1 / sqrt(width). */
function kaiming(rng: TorchRng, rows: number, width: number): Float32Array {
  const bound = Math.sqrt(3) * (Math.sqrt(2 / (1 + 5)) / Math.sqrt(width));
  return rng.uniform(rows * width, -bound, bound);
}
