// Signed dynamic 8-bit code, blockwise: the second level of double quantization.
import {
  BUCKETS, BUCKET_SHIFT, DYNAMIC_LOWEST, DYNAMIC_UPPER, FIRST_BUCKET, LAST_BUCKET,
} from "./tables";

/** Index of the nearest entry of the map; an exact tie goes to the even index, as in CUDA. |s| is at most 1. */
// @ts-ignore: decorator
@inline function nearest(s: f32): i32 {
  const bits = reinterpret<u32>(s);
  const bucket = min(max(<i32>((bits & 0x7fffffff) >> BUCKET_SHIFT), FIRST_BUCKET), LAST_BUCKET) - FIRST_BUCKET;
  const lowest = <i32>load<u8>(DYNAMIC_LOWEST + <usize>(bucket + <i32>(bits >> 31) * BUCKETS));
  return lowest + i32(s > load<f32>(DYNAMIC_UPPER + (<usize>lowest << 2)));
}

/** Sum of f32[count] in index order, in f64, added to `start`. Index order makes it the same in any slabs. */
export function sumF32(src: usize, count: i32, start: f64): f64 {
  let sum = start;
  for (let i = 0; i < count; i++) sum += <f64>load<f32>(src + (<usize>i << 2));
  return sum;
}

/** Quantizes d = src - offset (f32[count]) in blocks of blockSize.
 *  codes   u8[count];  absmax  f32[ceil(count / blockSize)], the largest |d| of each block
 *  A block of zeros gets index 0, as CUDA writes it; with absmax 0 it decodes to the offset whatever the index.
 *  Returns -1, or the index of the first element that is NaN or infinite. */
export function quantizeDynamic8bit(
  src: usize, count: i32, blockSize: i32, offset: f32, codes: usize, absmax: usize,
): i32 {
  assert(count >= 0 && blockSize > 0, "quantizeDynamic8bit: blockSize must be positive");
  for (let start = 0; start < count; start += blockSize) {
    const end = min(start + blockSize, count);
    let largest: f32 = 0;
    for (let i = start; i < end; i++) {
      const d = abs(load<f32>(src + (<usize>i << 2)) - offset);
      if (!(d < Infinity)) return i;
      largest = max(largest, d);
    }
    store<f32>(absmax, largest);
    absmax += 4;
    if (largest == 0) {
      memory.fill(codes + <usize>start, 0, <usize>(end - start));
      continue;
    }
    // A subnormal maximum has no finite inverse; dividing keeps |s| at most 1.
    const inverse: f32 = <f32>1 / largest;
    const exact = inverse == Infinity;
    for (let i = start; i < end; i++) {
      const d = load<f32>(src + (<usize>i << 2)) - offset;
      store<u8>(codes + <usize>i, <u8>nearest(exact ? d / largest : d * inverse));
    }
  }
  return -1;
}

/** dst[i] = map[codes[i]] * absmax[i / blockSize] + offset: two roundings, no FMA. map f32[256] */
export function dequantizeDynamic8bit(
  codes: usize, count: i32, blockSize: i32, absmax: usize, offset: f32, map: usize, dst: usize,
): void {
  assert(count >= 0 && blockSize > 0, "dequantizeDynamic8bit: blockSize must be positive");
  for (let start = 0; start < count; start += blockSize) {
    const scale = load<f32>(absmax);
    absmax += 4;
    const end = min(start + blockSize, count);
    for (let i = start; i < end; i++) {
      const code = load<f32>(map + (<usize>load<u8>(codes + <usize>i) << 2));
      store<f32>(dst + (<usize>i << 2), code * scale + offset);
    }
  }
}
