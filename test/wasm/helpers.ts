import { createHash } from 'node:crypto';
import { loadWasmModule } from '../../src/node/codec.ts';
import { Codec } from '../../src/wasm/codec.ts';
import {
  bytesPerElement,
  type QuantizeArgs,
  type Quantizer,
  type QuantSpec,
  type QuantState,
  type SourceDtype,
} from '../../src/wasm/types.ts';
import { bf16Bits, f16Bits } from '../ref/nf4.ts';

export const wasmModule = await loadWasmModule();
export const codec = new Codec(wasmModule);
export const debugCodec = new Codec(await loadWasmModule('debug'));

export function rawBytes(array: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
}

export function sha256(array: ArrayBufferView): string {
  return createHash('sha256').update(rawBytes(array)).digest('hex');
}

/** Requires equality to the bit. Compares memory: element-wise matchers take seconds where this takes milliseconds. */
export function expectSameBytes(got: ArrayBufferView, want: ArrayBufferView): void {
  const [a, b] = [rawBytes(got), rawBytes(want)];
  if (Buffer.compare(a, b) === 0) return;
  const at = a.findIndex((byte, i) => byte !== b[i]);
  throw new Error(`byte ${at} is ${a[at]}, not ${b[at]}; ${a.length} bytes against ${b.length}`);
}

/** Encodes values as raw elements of a dtype, rounded by the reference. */
export function encode(values: ArrayLike<number>, dtype: SourceDtype): Uint8Array<ArrayBuffer> {
  if (dtype === 'float32') return rawBytes(Float32Array.from(values));
  return rawBytes(Uint16Array.from(values, dtype === 'float16' ? f16Bits : bf16Bits));
}

/** Draws repeatable values of about normal shape, sd 0.02. */
export function weights(count: number, seed = 1): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => (uniform() + uniform() + uniform() + uniform() - 2) * 0.035);
}

/** Finds values close to threshold * largest for which x / largest and x * (1 / largest) are on two sides of the threshold. */
export function splitByReciprocal(thresholds: readonly number[], largest: number): number[] {
  const inverse = Math.fround(1 / largest);
  return thresholds.flatMap((threshold) => {
    const near = Float32Array.from({ length: 7 }, () => threshold * largest);
    const bits = new Uint32Array(near.buffer);
    for (let k = 0; k < 7; k++) bits[k]! += k - 3;
    return [...near].filter((x) => Math.fround(x / largest) > threshold !== Math.fround(x * inverse) > threshold);
  });
}

export type Streamed = { readonly packed: Uint8Array<ArrayBuffer>; readonly state: QuantState; readonly reads: number };

/** Runs a quantizer over `raw` and puts the slabs together, checking that they come in order and without holes. */
export async function stream(
  quantizer: Quantizer,
  raw: Uint8Array,
  dtype: SourceDtype,
  spec: QuantSpec,
  overrides: Partial<QuantizeArgs> = {},
): Promise<Streamed> {
  const elements = raw.byteLength / bytesPerElement(dtype);
  const packed = new Uint8Array(Math.ceil(elements / 2));
  let [end, reads] = [0, 0];
  const state = await quantizer.quantize4bit({
    name: 'weight',
    elements,
    dtype,
    spec,
    read: async (byteOffset, into) => {
      reads++;
      await Promise.resolve();
      into.set(raw.subarray(byteOffset, byteOffset + into.byteLength));
    },
    onPacked: (byteOffset, bytes) => {
      if (byteOffset !== end) throw new Error(`slab at ${byteOffset}, expected ${end}`);
      packed.set(bytes, byteOffset);
      end += bytes.byteLength;
    },
    ...overrides,
  });
  if (end !== packed.byteLength) throw new Error(`slabs end at ${end} of ${packed.byteLength}`);
  return { packed, state, reads };
}
