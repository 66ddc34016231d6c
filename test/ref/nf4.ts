/** Blockwise quantization as the definitions read: one element at a time, doubles rounded where f32 is meant. */
import { CODE_BOOKS, DYNAMIC_CODE, NF4_CODE } from '../../src/wasm/tables.ts';
import type { QuantType } from '../../src/wasm/types.ts';

const { fround } = Math;

/** f32 midpoints of neighbouring codes. */
function midpoints(codes: Float32Array): number[] {
  return Array.from(codes.subarray(1), (next, i) => fround(fround(codes[i]! + next) / 2));
}

export const NF4_THRESHOLDS = midpoints(NF4_CODE);
/** CUDA's literals; they are not the midpoints. */
export const FP4_THRESHOLDS = [0.00260417, 0.0859375, 0.20833333, 0.29166667, 0.4166667, 0.583333, 0.8333333].map(
  fround,
);
export const DYNAMIC_MIDPOINTS = midpoints(DYNAMIC_CODE);
/** Ascending magnitudes of FP4 -> the low three bits. */
const FP4_ORDER = [0, 1, 6, 7, 4, 5, 2, 3];

function countBelow(thresholds: readonly number[], s: number): number {
  let below = 0;
  for (const threshold of thresholds) if (s > threshold) below++;
  return below;
}

export function nf4Code(s: number): number {
  return countBelow(NF4_THRESHOLDS, s);
}

export function fp4Code(s: number): number {
  return FP4_ORDER[countBelow(FP4_THRESHOLDS, Math.abs(s))]! | (s < 0 ? 8 : 0);
}

/** The nearest seventh, a tie to the even one. */
export function int4Code(s: number): number {
  const sevenths = fround(s * 7);
  const below = Math.floor(sevenths);
  const rest = sevenths - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 !== 0);
  return below + (up ? 1 : 0) + 7;
}

/** An exact tie goes to the even index. */
export function dynamicCode(s: number): number {
  const index = countBelow(DYNAMIC_MIDPOINTS, s);
  return index % 2 === 1 && s === DYNAMIC_MIDPOINTS[index] ? index + 1 : index;
}

export function blockAbsmax(x: ArrayLike<number>, blockSize: number): Float32Array<ArrayBuffer> {
  const absmax = new Float32Array(Math.ceil(x.length / blockSize));
  for (let i = 0; i < x.length; i++) {
    const block = Math.floor(i / blockSize);
    absmax[block] = Math.max(absmax[block]!, Math.abs(x[i]!));
  }
  return absmax;
}

/** x holds f32 values. Element 2k lies in the high nibble of byte k; an odd last element is paired with 0. */
export function quantize4(x: ArrayLike<number>, quantType: QuantType, blockSize: number) {
  const codeOf = { nf4: nf4Code, fp4: fp4Code, int4: int4Code }[quantType];
  const absmax = blockAbsmax(x, blockSize);
  const packed = new Uint8Array(Math.ceil(x.length / 2));
  for (let i = 0; i < packed.length * 2; i++) {
    const scale = fround(1 / Math.max(absmax[Math.floor(Math.min(i, x.length - 1) / blockSize)]!, fround(1e-38)));
    const code = codeOf(fround((i < x.length ? x[i]! : 0) * scale));
    packed[i >> 1]! |= i % 2 === 0 ? code << 4 : code;
  }
  return { packed, absmax };
}

export function dequantize4(
  packed: Uint8Array,
  absmax: Float32Array,
  elements: number,
  quantType: QuantType,
  blockSize: number,
): Float32Array<ArrayBuffer> {
  const table = CODE_BOOKS[quantType];
  return Float32Array.from({ length: elements }, (_, i) => {
    const code = i % 2 === 0 ? packed[i >> 1]! >> 4 : packed[i >> 1]! & 15;
    return fround(table[code]! * absmax[Math.floor(i / blockSize)]!);
  });
}

export function quantizeDynamic(x: ArrayLike<number>, blockSize: number, offset: number) {
  const d = Float32Array.from(x, (v) => fround(v - offset));
  const absmax = blockAbsmax(d, blockSize);
  const codes = Uint8Array.from(d, (v, i) => {
    const largest = absmax[Math.floor(i / blockSize)]!;
    if (largest === 0) return 0;
    const inverse = fround(1 / largest);
    return dynamicCode(inverse === Infinity ? fround(v / largest) : fround(v * inverse));
  });
  return { codes, absmax };
}

export function dequantizeDynamic(codes: Uint8Array, absmax: Float32Array, blockSize: number, offset: number) {
  return Float32Array.from(codes, (c, i) =>
    fround(fround(DYNAMIC_CODE[c]! * absmax[Math.floor(i / blockSize)]!) + offset),
  );
}

export function meanF32(x: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]!;
  return fround(sum / x.length);
}

/** Value of f16 bits. */
export function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, mantissa] = [(bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return mantissa ? Number.NaN : sign * Infinity;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}

/** Value of bf16 bits. */
export function bf16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, mantissa] = [(bits >> 7) & 255, bits & 127];
  if (exponent === 255) return mantissa ? Number.NaN : sign * Infinity;
  return sign * (exponent === 0 ? mantissa * 2 ** -133 : (128 + mantissa) * 2 ** (exponent - 134));
}

/**
 * Rounds a number (not NaN) to a 16-bit float, nearest even, by asking which multiple of the last place is nearest.
 * Adequate for f32 inputs: doubles hold every quotient exactly.
 */
function narrowBits(x: number, mantissaBits: number, leastExponent: number, infinityBits: number): number {
  const sign = Object.is(x, -0) || x < 0 ? 0x8000 : 0;
  const magnitude = Math.abs(x);
  if (magnitude === Infinity) return sign | infinityBits;
  const exponent = Math.max(magnitude === 0 ? leastExponent : exponentOf(magnitude), leastExponent);
  const units = magnitude / 2 ** (exponent - mantissaBits);
  const floor = Math.floor(units);
  const rest = units - floor;
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  // A mantissa that overflows carries into the exponent, and past the largest exponent into infinity.
  const bits = rounded + (exponent - leastExponent) * 2 ** mantissaBits;
  return sign | Math.min(bits, infinityBits);
}

/** e with 2^e <= x < 2^(e+1), for positive f32 values. */
function exponentOf(x: number): number {
  const e = Math.floor(Math.log2(x));
  if (2 ** e > x) return e - 1;
  return 2 ** (e + 1) <= x ? e + 1 : e;
}

export function f16Bits(x: number): number {
  return narrowBits(x, 10, -14, 0x7c00);
}

export function bf16Bits(x: number): number {
  return narrowBits(x, 7, -126, 0x7f80);
}
