// Blockwise 4-bit quantization (NF4, FP4, INT4) of f32, f16 and bf16, 32 elements a turn without a branch.
import {
  FP4, FP4_BINS, FP4_CPU, FP4_CPU_UPPER_PLANES, FP4_LOWEST, FP4_OF_RANK, FP4_UPPER_PLANES, INT4, NF4, NF4_BINS, NF4_BIN_OFFSET, NF4_LOWEST,
  NF4_UPPER_PLANES,
} from "./tables";
import {
  BF16, F16, infinityBits, load4, magnitudeBits, packLanes, packMasks, widenBits, zipHigh16, zipHigh8, zipLow16,
  zipLow8,
} from "./lanes";

// 1.5 * 2^23: adding it leaves the rounded integer in the low bits of the float.
// @ts-ignore: decorator
@inline const ROUND: f32 = 12582912.0;

// Smaller block maxima are not inverted: 1/x would overflow. An all-zero block thus encodes as exact zeros.
// @ts-ignore: decorator
@inline const MIN_ABSMAX: f32 = 1e-38;

// @ts-ignore: decorator
@inline function binsOf(s: v128, scale: f32, offset: f32): v128 {
  const rounded = f32x4.add(f32x4.mul(s, f32x4.splat(scale)), f32x4.splat(offset));
  return v128.and(rounded, i32x4.splat(0xff));
}

/** lowest + (s > upper[lowest]) for 16 lanes; `planes` holds the 16 thresholds byte by byte. */
// @ts-ignore: decorator
@inline function refine(lowest: v128, planes: usize, s0: v128, s1: v128, s2: v128, s3: v128): v128 {
  const byte0 = i8x16.swizzle(v128.load(planes), lowest);
  const byte1 = i8x16.swizzle(v128.load(planes, 16), lowest);
  const byte2 = i8x16.swizzle(v128.load(planes, 32), lowest);
  const byte3 = i8x16.swizzle(v128.load(planes, 48), lowest);
  const lowA = zipLow8(byte0, byte1), lowB = zipLow8(byte2, byte3);
  const highA = zipHigh8(byte0, byte1), highB = zipHigh8(byte2, byte3);
  const above = packMasks(
    f32x4.gt(s0, zipLow16(lowA, lowB)), f32x4.gt(s1, zipHigh16(lowA, lowB)),
    f32x4.gt(s2, zipLow16(highA, highB)), f32x4.gt(s3, zipHigh16(highA, highB)),
  );
  return i8x16.sub(lowest, above);
}

// @ts-ignore: decorator
@inline function nf4Codes(s0: v128, s1: v128, s2: v128, s3: v128): v128 {
  const offset: f32 = ROUND + <f32>NF4_BIN_OFFSET;
  const bins = packLanes(
    binsOf(s0, NF4_BINS, offset), binsOf(s1, NF4_BINS, offset), binsOf(s2, NF4_BINS, offset), binsOf(s3, NF4_BINS, offset),
  );
  // An index past 15 looks up 0, so the two halves of the table meet in one `or`.
  const lowest = v128.or(
    i8x16.swizzle(v128.load(NF4_LOWEST), bins),
    i8x16.swizzle(v128.load(NF4_LOWEST, 16), i8x16.sub(bins, i8x16.splat(16))),
  );
  return refine(lowest, NF4_UPPER_PLANES, s0, s1, s2, s3);
}

/** |s|, for the CPU's code one ulp more where s is negative: a tie then goes to the larger magnitude. */
// @ts-ignore: decorator
@inline function magnitude(cpu: bool, s: v128): v128 {
  const size = f32x4.abs(s);
  return cpu ? i32x4.sub(size, f32x4.lt(s, f32x4.splat(0))) : size;
}

// @ts-ignore: decorator
@inline function fp4Codes(cpu: bool, s0: v128, s1: v128, s2: v128, s3: v128): v128 {
  const a0 = magnitude(cpu, s0), a1 = magnitude(cpu, s1), a2 = magnitude(cpu, s2), a3 = magnitude(cpu, s3);
  const bins = packLanes(
    binsOf(a0, FP4_BINS, ROUND), binsOf(a1, FP4_BINS, ROUND), binsOf(a2, FP4_BINS, ROUND), binsOf(a3, FP4_BINS, ROUND),
  );
  const planes = cpu ? FP4_CPU_UPPER_PLANES : FP4_UPPER_PLANES;
  const rank = refine(i8x16.swizzle(v128.load(FP4_LOWEST), bins), planes, a0, a1, a2, a3);
  const zero = f32x4.splat(0);
  let signed = packMasks(f32x4.lt(s0, zero), f32x4.lt(s1, zero), f32x4.lt(s2, zero), f32x4.lt(s3, zero));
  if (cpu) {
    // bitsandbytes' CPU code rounds values above zero to the zero with the sign bit, and others to the zero without.
    const positive = packMasks(f32x4.gt(s0, zero), f32x4.gt(s1, zero), f32x4.gt(s2, zero), f32x4.gt(s3, zero));
    signed = v128.bitselect(positive, signed, i8x16.eq(rank, i8x16.splat(0)));
  }
  return v128.or(i8x16.swizzle(v128.load(FP4_OF_RANK), rank), v128.and(signed, i8x16.splat(8)));
}

/** The nearest of -7 to 7 sevenths, a tie to the even one, counted from 0. */
// @ts-ignore: decorator
@inline function int4Codes(s0: v128, s1: v128, s2: v128, s3: v128): v128 {
  const levels: f32 = 7;
  const nearest = packLanes(
    binsOf(s0, levels, ROUND), binsOf(s1, levels, ROUND), binsOf(s2, levels, ROUND), binsOf(s3, levels, ROUND),
  );
  return i8x16.add(nearest, i8x16.splat(7));
}

// @ts-ignore: decorator
@inline function codes16<S>(code: i32, at: usize, inverse: v128): v128 {
  const step: usize = 4 * sizeof<S>();
  const s0 = f32x4.mul(load4<S>(at), inverse);
  const s1 = f32x4.mul(load4<S>(at + step), inverse);
  const s2 = f32x4.mul(load4<S>(at + 2 * step), inverse);
  const s3 = f32x4.mul(load4<S>(at + 3 * step), inverse);
  if (code == INT4) return int4Codes(s0, s1, s2, s3);
  return code == NF4 ? nf4Codes(s0, s1, s2, s3) : fp4Codes(code == FP4_CPU, s0, s1, s2, s3);
}

/** Bytes of (even << 4) | odd in the low byte of each 16-bit lane. */
// @ts-ignore: decorator
@inline function joinNibbles(codes: v128): v128 {
  return v128.and(v128.or(i16x8.shl(codes, 4), i16x8.shr_u(codes, 8)), i16x8.splat(0xff));
}

/** Largest magnitude bits in [at, end), a multiple of 32 elements. */
// @ts-ignore: decorator
@inline function peakBits<S>(at: usize, end: usize): i32 {
  let peak = i32x4.splat(0);
  for (; at < end; at += 32) {
    if (isFloat<S>()) {
      const mask = i32x4.splat(0x7fffffff);
      peak = i32x4.max_s(peak, i32x4.max_s(v128.and(v128.load(at), mask), v128.and(v128.load(at, 16), mask)));
    } else {
      const mask = i16x8.splat(0x7fff);
      peak = i16x8.max_s(peak, i16x8.max_s(v128.and(v128.load(at), mask), v128.and(v128.load(at, 16), mask)));
    }
  }
  if (!isFloat<S>()) peak = i32x4.max_s(v128.and(peak, i32x4.splat(0xffff)), i32x4.shr_u(peak, 16));
  peak = i32x4.max_s(peak, v128.shuffle<u32>(peak, peak, 2, 3, 0, 1));
  return max(i32x4.extract_lane(peak, 0), i32x4.extract_lane(peak, 1));
}

function firstNonFinite<S>(src: usize, from: i32): i32 {
  let i = from;
  while (magnitudeBits<S>(src + <usize>i * sizeof<S>()) < infinityBits<S>()) i++;
  return i;
}

// @ts-ignore: decorator
@inline function quantizeBlocks<S>(code: i32, src: usize, count: i32, blockSize: i32, packed: usize, absmax: usize): i32 {
  const padded = (count + 31) & ~31;
  memory.fill(src + <usize>count * sizeof<S>(), 0, <usize>(padded - count) * sizeof<S>());
  for (let start = 0; start < count; start += blockSize) {
    let at = src + <usize>start * sizeof<S>();
    const end = src + <usize>min(start + blockSize, padded) * sizeof<S>();
    const peak = peakBits<S>(at, end);
    if (peak >= infinityBits<S>()) return firstNonFinite<S>(src, start);
    const largest = widenBits<S>(peak);
    store<f32>(absmax, largest);
    absmax += 4;
    const inverse = f32x4.splat(<f32>1 / max(largest, MIN_ABSMAX));
    for (; at < end; at += 32 * sizeof<S>()) {
      const low = joinNibbles(codes16<S>(code, at, inverse));
      const high = joinNibbles(codes16<S>(code, at + 16 * sizeof<S>(), inverse));
      v128.store(packed, i8x16.narrow_i16x8_u(low, high));
      packed += 16;
    }
  }
  return -1;
}

/** Quantizes `count` elements, blocks over the flat index, the last block short if need be.
 *  code       0 NF4, 1 FP4 (CUDA's thresholds), 2 FP4 as bitsandbytes 0.50 encodes it on a CPU, full blocks only:
 *             the short last block, which it scales by dividing, may differ; 3 INT4
 *  dtype      0 f32, 1 f16, 2 bf16
 *  src        count elements, writable up to the next multiple of 32: the gap is filled with zeros
 *  blockSize  a multiple of 32
 *  packed     ceil(count / 32) * 16 bytes, element 2k in the high nibble; an odd last one is paired with 0
 *  absmax     f32[ceil(count / blockSize)]
 *  Returns -1, or the index of the first element that is NaN or infinite (outputs are then unfinished). */
export function quantize4bit(
  code: i32, dtype: i32, src: usize, count: i32, blockSize: i32, packed: usize, absmax: usize,
): i32 {
  assert(count >= 0 && blockSize > 0 && (blockSize & 31) == 0, "quantize4bit: blockSize must be a multiple of 32");
  if (code == INT4) return quantizeFrom(INT4, dtype, src, count, blockSize, packed, absmax);
  if (code == FP4) return quantizeFrom(FP4, dtype, src, count, blockSize, packed, absmax);
  if (code == FP4_CPU) return quantizeFrom(FP4_CPU, dtype, src, count, blockSize, packed, absmax);
  return quantizeFrom(NF4, dtype, src, count, blockSize, packed, absmax);
}

/** Compiles to a loop of its own for each code and type. */
// @ts-ignore: decorator
@inline function quantizeFrom(
  code: i32, dtype: i32, src: usize, count: i32, blockSize: i32, packed: usize, absmax: usize,
): i32 {
  if (dtype == 0) return quantizeBlocks<f32>(code, src, count, blockSize, packed, absmax);
  if (dtype == 1) return quantizeBlocks<F16>(code, src, count, blockSize, packed, absmax);
  return quantizeBlocks<BF16>(code, src, count, blockSize, packed, absmax);
}
