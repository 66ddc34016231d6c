// f32 <-> f16 and bf16 over whole slabs. Widening is exact; narrowing rounds to nearest even; NaN stays NaN.
import { zipHigh16, zipLow16 } from "./lanes";

/** Four f32 lanes as f16 bits in the low halves. */
// @ts-ignore: decorator
@inline function narrowF16(x: v128): v128 {
  const bits = v128.and(x, i32x4.splat(0x7fffffff));
  const odd = v128.and(i32x4.shr_u(bits, 13), i32x4.splat(1));
  // Rebases the exponent by -112 and adds just under half an f16 ulp, or half for odd mantissas.
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(bits, i32x4.splat(0x0fff - (112 << 23))), odd), 13);
  // Below 2^-14 the result counts multiples of 2^-24: the last place of numbers around 0.5.
  const subnormal = i32x4.sub(f32x4.add(bits, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  let half = v128.bitselect(subnormal, normal, i32x4.lt_s(bits, i32x4.splat(0x38800000)));
  // 65520 and above round to infinity.
  half = v128.bitselect(i32x4.splat(0x7c00), half, i32x4.ge_s(bits, i32x4.splat(0x477ff000)));
  const quiet = v128.or(i32x4.splat(0x7e00), v128.and(i32x4.shr_u(bits, 13), i32x4.splat(0x3ff)));
  half = v128.bitselect(quiet, half, i32x4.gt_s(bits, i32x4.splat(0x7f800000)));
  return v128.or(half, i32x4.shl(i32x4.shr_u(x, 31), 15));
}

/** Four f32 lanes as bf16 bits in the low halves. */
// @ts-ignore: decorator
@inline function narrowBf16(x: v128): v128 {
  const high = i32x4.shr_u(x, 16);
  const odd = v128.and(high, i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd), 16);
  const isNaN = i32x4.gt_s(v128.and(x, i32x4.splat(0x7fffffff)), i32x4.splat(0x7f800000));
  return v128.bitselect(v128.or(high, i32x4.splat(0x40)), rounded, isNaN);
}

/** Eight f32 lanes as 16-bit floats. */
// @ts-ignore: decorator
@inline export function narrow8(dtype: i32, a: v128, b: v128): v128 {
  return dtype == 1
    ? i16x8.narrow_i32x4_u(narrowF16(a), narrowF16(b))
    : i16x8.narrow_i32x4_u(narrowBf16(a), narrowBf16(b));
}

/** Four f16 (zero-extended to i32 lanes) as f32, infinities and NaN payloads included. */
// @ts-ignore: decorator
@inline function widen4F16(h: v128): v128 {
  const bits = v128.and(h, i32x4.splat(0x7fff));
  const placed = i32x4.shl(bits, 13);
  const finite = f32x4.mul(placed, f32x4.splat(reinterpret<f32>(0x77800000)));
  const special = v128.or(placed, i32x4.splat(0x7f800000));
  const magnitude = v128.bitselect(special, finite, i32x4.ge_s(bits, i32x4.splat(0x7c00)));
  return v128.or(magnitude, i32x4.shl(i32x4.shr_u(h, 15), 31));
}

/** Widens `count` f16 (dtype 1) or bf16 (dtype 2) to f32. Reads and writes whole groups of 8 elements. */
export function widen(dtype: i32, src: usize, count: i32, dst: usize): void {
  const zero = i32x4.splat(0);
  const end = src + (<usize>count << 1);
  for (; src < end; src += 16, dst += 32) {
    const v = v128.load(src);
    if (dtype == 1) {
      v128.store(dst, widen4F16(zipLow16(v, zero)));
      v128.store(dst, widen4F16(zipHigh16(v, zero)), 16);
    } else {
      v128.store(dst, zipLow16(zero, v));
      v128.store(dst, zipHigh16(zero, v), 16);
    }
  }
}

/** Narrows `count` f32 to f16 (dtype 1) or bf16 (dtype 2). Reads and writes whole groups of 8 elements. */
export function narrow(dtype: i32, src: usize, count: i32, dst: usize): void {
  const end = src + (<usize>count << 2);
  for (; src < end; src += 32, dst += 16) v128.store(dst, narrow8(dtype, v128.load(src), v128.load(src, 16)));
}
