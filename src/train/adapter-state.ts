/** Values of the trainables before the first step: a fresh adapter from the seed, an adapter from disk, or the checkpoint's own. */
import type { TrainConfig } from '../config/settings.ts';
import { readFloats } from '../formats/checkpoint.ts';
import { type Adapter, loraTensorNames } from '../formats/peft.ts';
import { TorchRng } from '../formats/torch-rng.ts';
import type { StoredAs } from '../model/declare.ts';
import { initialLoraA } from '../model/lora-init.ts';
import type { ModelPlan } from './model-plan.ts';

/** Parameter values by trainable name, f32. */
export type InitialValues = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

export async function initialAdapter(
  plan: ModelPlan,
  config: TrainConfig,
  adapter: Adapter | null,
): Promise<InitialValues> {
  if (adapter !== null) return storedAdapter(plan, adapter);
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  const rng = new TorchRng(config.seed);
  for (const { name, rank } of plan.lora?.targets ?? []) {
    const [out, width] = plan.linear.get(name) as readonly [number, number];
    const A = initialLoraA(rng, { module: name, r: rank, in: width, out }, config.init_lora_weights);
    values.set(`${name}.lora_A.weight`, roundToBase(A, plan.spec.storedAs(name), config));
    values.set(`${name}.lora_B.weight`, new Float32Array(out * rank));
  }
  return values;
}

async function storedAdapter(plan: ModelPlan, { source }: Adapter): Promise<InitialValues> {
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { name } of plan.lora?.targets ?? []) {
    const { a, b } = loraTensorNames(name);
    values.set(`${name}.lora_A.weight`, (await readFloats(source, a)) as Float32Array<ArrayBuffer>);
    values.set(`${name}.lora_B.weight`, (await readFloats(source, b)) as Float32Array<ArrayBuffer>);
  }
  return values;
}

/**
 * PEFT creates the adapter in the dtype of the base weight (of a 4-bit base: its compute dtype) and widens it afterwards, so
 * that the initial A carries that rounding.
 */
function roundToBase(A: Float32Array, stored: StoredAs, config: TrainConfig): Float32Array<ArrayBuffer> {
  const dtype = stored.kind === 'dense' ? stored.dtype : config.compute_dtype === 'float16' ? 'f16' : 'f32';
  if (dtype === 'bf16') return Float32Array.from(A, roundToBf16);
  if (dtype === 'f16') return Float32Array.from(A, roundToF16);
  return A as Float32Array<ArrayBuffer>;
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
