// Shared SIMD pieces: loading the three source types as f32 lanes, and zipping bytes.

// The two 16-bit floats ride on integer types, so that generic code can tell them apart at compile time.
export type BF16 = u16;
export type F16 = i16;

/** Bits of +Inf in the source type; any |x| with at least these bits is not finite. */
// @ts-ignore: decorator
@inline export function infinityBits<S>(): i32 {
  if (isFloat<S>()) return 0x7f800000;
  return isSigned<S>() ? 0x7c00 : 0x7f80;
}

/** The f32 with the value of finite f16 bits: the exponent is rebased by a multiplication, so subnormals are exact. */
// @ts-ignore: decorator
@inline export function widenF16(bits: u32): f32 {
  const magnitude = reinterpret<f32>((bits & 0x7fff) << 13) * reinterpret<f32>(0x77800000);
  return reinterpret<f32>(reinterpret<u32>(magnitude) | ((bits & 0x8000) << 16));
}

/** One finite element as f32. */
// @ts-ignore: decorator
@inline export function widenBits<S>(bits: u32): f32 {
  if (isFloat<S>()) return reinterpret<f32>(bits);
  return isSigned<S>() ? widenF16(bits) : reinterpret<f32>(bits << 16);
}

/** |x| as an integer: for floats of one sign the order of bits is the order of values, NaN above all. */
// @ts-ignore: decorator
@inline export function magnitudeBits<S>(at: usize): i32 {
  if (isFloat<S>()) return load<i32>(at) & 0x7fffffff;
  return <i32>load<u16>(at) & 0x7fff;
}

/** Four finite elements as f32 lanes. */
// @ts-ignore: decorator
@inline export function load4<S>(at: usize): v128 {
  if (isFloat<S>()) return v128.load(at);
  if (!isSigned<S>()) return i32x4.shl(v128.load_ext<u16>(at), 16);
  // Sign-extended and shifted, sign, exponent and mantissa of an f16 lie where f32 has them.
  const placed = v128.and(i32x4.shl(v128.load_ext<i16>(at), 13), i32x4.splat(0x8fffe000));
  return f32x4.mul(placed, f32x4.splat(reinterpret<f32>(0x77800000)));
}

// @ts-ignore: decorator
@inline export function zipLow8(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

// @ts-ignore: decorator
@inline export function zipHigh8(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// @ts-ignore: decorator
@inline export function zipLow16(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

// @ts-ignore: decorator
@inline export function zipHigh16(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** Low bytes of 16 lanes (each 0..255 as i32) as one vector of bytes, in order. */
// @ts-ignore: decorator
@inline export function packLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_u(a, b), i16x8.narrow_i32x4_u(c, d));
}

/** 16 comparison results (0 or -1 as i32) as bytes 0 or -1, in order. */
// @ts-ignore: decorator
@inline export function packMasks(a: v128, b: v128, c: v128, d: v128): v128 {
  return i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
}
