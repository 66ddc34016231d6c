/** f32 values as a narrower float type would hold them. For small tensors: weights go through the WASM codec. */
import type { GpuFloat } from './dtype.ts';

/**
 * Rounds every value to the nearest one of `dtype`, ties to even. Values are finite and, for f16, below 65520 in magnitude.
 * @returns f32 again; the same array where `dtype` is f32
 */
export function roundedTo(values: Float32Array, dtype: GpuFloat): Float32Array<ArrayBuffer> {
  if (dtype === 'bf16') return Float32Array.from(values, roundToBf16);
  if (dtype === 'f16') return Float32Array.from(values, roundToF16);
  return values as Float32Array<ArrayBuffer>;
}

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** Works on the f32 bits: bf16 is their upper half. */
function roundToBf16(value: number): number {
  float[0] = value;
  const word = bits[0] as number;
  bits[0] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  return float[0] as number;
}

/** Keeps 11 significant bits, or multiples of 2^-24 below the normal range. Zeros keep their sign. */
function roundToF16(value: number): number {
  const magnitude = Math.abs(value);
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)));
  const ulp = 2 ** (exponent - 10);
  const scaled = magnitude / ulp;
  const down = Math.floor(scaled);
  const rest = scaled - down;
  const up = rest > 0.5 || (rest === 0.5 && down % 2 !== 0);
  return Math.sign(value) * (up ? down + 1 : down) * ulp;
}
