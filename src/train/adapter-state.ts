/** Values of the trainables before the first step: a fresh adapter from the seed, an adapter from disk, or the checkpoint's own. */

import type { Adapter } from '../adapters/files.ts';
import { adapterTensors, EMBEDDING_A, EMBEDDING_B, LORA_A, LORA_B } from '../adapters/layout.ts';
import { initialPair } from '../adapters/start-values.ts';
import type { TrainConfig } from '../config/settings.ts';
import { KernelCallError } from '../errors.ts';
import { readFloats } from '../formats/checkpoint.ts';
import type { TorchFloat } from '../formats/dtype.ts';
import { TorchRng } from '../formats/torch-rng.ts';
import type { StoredAs } from '../model/declare.ts';
import type { Trainable } from '../model/flat.ts';
import type { Engine } from './engine.ts';
import type { ModelPlan } from './model-plan.ts';

/** Parameter values by trainable name, f32. */
export type InitialValues = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

/** Writes an adapter's first values; a fresh DoRA adapter also takes the norms of the weights, which have to be loaded. */
export async function initializeAdapter(
  engine: Engine,
  plan: ModelPlan,
  config: TrainConfig,
  adapter: Adapter | null,
): Promise<void> {
  const { trainable, dora } = engine.declared;
  for (const [name, values] of await initialAdapter(plan, config, adapter)) {
    const found = trainable.tensors.get(name);
    if (found === undefined) throw new KernelCallError(name, 'is of the adapter, and not declared');
    engine.writeTensor(found.param, values);
  }
  if (dora.length === 0 || adapter !== null) return;
  engine.initializeMagnitudes();
  for (const { weight, lora } of dora) {
    const stored = plan.spec.storedAs(weight.name.replace(/\.weight$/, ''));
    const dtype = magnitudeDtype(stored, plan, config);
    engine.writeTensor(lora.magnitude, rounded(await engine.readTensor(lora.magnitude), dtype));
  }
}

/** A trained tensor's values as adapter files have them, from those on the GPU. */
export function asInFile({ name, shape }: Trainable, values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const [rows = 1, columns = 1] = shape;
  return isTransposed(name) ? transposed(values, rows, columns) : values;
}

/** An embedding's A lies (tokens, r) on the GPU and (r, tokens) in files. */
const isTransposed = (name: string): boolean => name.endsWith(`.${EMBEDDING_A}`);

/** (rows, columns) -> (columns, rows) */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) out[(i % columns) * rows + Math.floor(i / columns)] = values[i] as number;
  return out;
}

/** What the GPU is to hold at first, but for magnitudes of a fresh adapter and what the base model's checkpoint has. */
async function initialAdapter(plan: ModelPlan, config: TrainConfig, adapter: Adapter | null): Promise<InitialValues> {
  if (adapter !== null) return storedAdapter(adapter);
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  const rng = new TorchRng(config.seed);
  for (const target of plan.lora?.layout.targets ?? []) {
    const { name, kind, rank: r } = target;
    const { A, B } = initialPair(rng, { ...target, r }, config.init_lora_weights);
    const [a, b] = kind === 'linear' ? [LORA_A, LORA_B] : [EMBEDDING_A, EMBEDDING_B];
    const drawn = kind === 'linear' ? A : transposed(A, r, target.out);
    const dtype = adapterDtype(plan.spec.storedAs(name), config);
    values.set(`${name}.${a}`, rounded(drawn, dtype));
    values.set(`${name}.${b}`, rounded(B, dtype));
  }
  return values;
}

async function storedAdapter({ source, layout }: Adapter): Promise<InitialValues> {
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { key, name, shape } of adapterTensors(layout)) {
    const stored = (await readFloats(source, key)) as Float32Array<ArrayBuffer>;
    const [rows = 1, columns = 1] = shape;
    values.set(name, isTransposed(name) ? transposed(stored, rows, columns) : stored);
  }
  return values;
}

type Dtype = 'f32' | 'f16' | 'bf16';
const SHORT: Record<TorchFloat, Dtype> = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' };

/**
 * PEFT creates the adapter in the dtype of the base weight (of a 4-bit base: its compute dtype) and widens it afterwards, so
 * that its first values carry that rounding. bfloat16 counts as asked for, whatever it is computed as.
 */
function adapterDtype(stored: StoredAs, { requested_compute_dtype }: TrainConfig): Dtype {
  return stored.kind === 'dense' ? stored.dtype : SHORT[requested_compute_dtype];
}

/** DoRA's norms are of weight + adapter, in the wider of their two dtypes; 4-bit weights widen to what the model came in. */
function magnitudeDtype(stored: StoredAs, { spec }: ModelPlan, config: TrainConfig): Dtype {
  const adapter = adapterDtype(stored, config);
  if (stored.kind === 'dense') return adapter;
  return SHORT[config.dtype === 'auto' ? (spec.config.dtype ?? 'float32') : config.dtype] === adapter ? adapter : 'f32';
}

function rounded(values: Float32Array, dtype: Dtype): Float32Array<ArrayBuffer> {
  if (dtype === 'bf16') return Float32Array.from(values, roundToBf16);
  if (dtype === 'f16') return Float32Array.from(values, roundToF16);
  return values as Float32Array<ArrayBuffer>;
}

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** Round to nearest even, on the f32 bits. Finite values only. */
function roundToBf16(value: number): number {
  float[0] = value;
  const word = bits[0] as number;
  bits[0] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  return float[0] as number;
}

/** Round to nearest even to 11 significant bits, or to multiples of 2^-24 below the normal range. Values below 65504. */
function roundToF16(value: number): number {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value))));
  const ulp = 2 ** (exponent - 10);
  const scaled = value / ulp;
  const down = Math.floor(scaled);
  const rest = scaled - down;
  const up = rest > 0.5 || (rest === 0.5 && down % 2 !== 0);
  return (up ? down + 1 : down) * ulp;
}
