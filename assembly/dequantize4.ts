// Blockwise 4-bit dequantization: code[nibble] * absmax in f32, then one rounding to the output type.
import { FP4_CODE_PLANES, INT4, INT4_CODE_PLANES, NF4, NF4_CODE_PLANES } from "./tables";
import { zipHigh16, zipHigh8, zipLow16, zipLow8 } from "./lanes";
import { narrow8 } from "./convert";

// @ts-ignore: decorator
@inline function store8(dtype: i32, dst: usize, a: v128, b: v128): void {
  if (dtype == 0) {
    v128.store(dst, a);
    v128.store(dst, b, 16);
  } else {
    v128.store(dst, narrow8(dtype, a, b));
  }
}

/** Decodes 16 nibbles, one a byte, into `dst`. */
// @ts-ignore: decorator
@inline function decode16(dtype: i32, planes: usize, codes: v128, scale: v128, dst: usize): void {
  const byte0 = i8x16.swizzle(v128.load(planes), codes);
  const byte1 = i8x16.swizzle(v128.load(planes, 16), codes);
  const byte2 = i8x16.swizzle(v128.load(planes, 32), codes);
  const byte3 = i8x16.swizzle(v128.load(planes, 48), codes);
  const lowA = zipLow8(byte0, byte1), lowB = zipLow8(byte2, byte3);
  const highA = zipHigh8(byte0, byte1), highB = zipHigh8(byte2, byte3);
  store8(dtype, dst, f32x4.mul(zipLow16(lowA, lowB), scale), f32x4.mul(zipHigh16(lowA, lowB), scale));
  store8(
    dtype, dst + (dtype == 0 ? 32 : 16),
    f32x4.mul(zipLow16(highA, highB), scale), f32x4.mul(zipHigh16(highA, highB), scale),
  );
}

/** Dequantizes `count` elements.
 *  code    as for quantize4bit
 *  dtype   of the output: 0 f32, 1 f16, 2 bf16
 *  packed  ceil(count / 2) bytes, readable to the next multiple of 16
 *  absmax  f32[ceil(count / blockSize)]; blockSize is a multiple of 32
 *  dst     room for count elements, writable to the next multiple of 32 */
export function dequantize4bit(
  code: i32, dtype: i32, packed: usize, count: i32, blockSize: i32, absmax: usize, dst: usize,
): void {
  assert(count >= 0 && blockSize > 0 && (blockSize & 31) == 0, "dequantize4bit: blockSize must be a multiple of 32");
  const planes = code == NF4 ? NF4_CODE_PLANES : code == INT4 ? INT4_CODE_PLANES : FP4_CODE_PLANES;
  const bytes16: usize = dtype == 0 ? 64 : 32;
  for (let start = 0; start < count; start += blockSize) {
    const scale = v128.load_splat<u32>(absmax);
    absmax += 4;
    const end = min(start + blockSize, count);
    for (let i = start; i < end; i += 32) {
      const pairs = v128.load(packed);
      const even = v128.and(i16x8.shr_u(pairs, 4), i8x16.splat(15));
      const odd = v128.and(pairs, i8x16.splat(15));
      decode16(dtype, planes, zipLow8(even, odd), scale, dst);
      decode16(dtype, planes, zipHigh8(even, odd), scale, dst + bytes16);
      packed += 16;
      dst += 2 * bytes16;
    }
  }
}
