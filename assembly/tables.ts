// The code books, as bits (NF4, FP4 and the dynamic one are what bitsandbytes stores in checkpoints), and the lookup
// tables the SIMD searches need, derived from them once when the module is instantiated.

// Values of `code`. bitsandbytes encodes FP4 in two ways: its CUDA kernel's way is the one nibble uses, its CPU's is here
// for comparing the two bit for bit.
// @ts-ignore: decorator
@inline export const NF4: i32 = 0;
// @ts-ignore: decorator
@inline export const FP4: i32 = 1;
// @ts-ignore: decorator
@inline export const FP4_CPU: i32 = 2;
// @ts-ignore: decorator
@inline export const INT4: i32 = 3;

// NF4: index = nibble. Quantiles of N(0, 1) scaled to [-1, 1], zero included.
export const NF4_CODE: usize = memory.data<u32>([
  0xbf800000, 0xbf3239b1, 0xbf066b30, 0xbeca32a0, 0xbe91a24d, 0xbe3d353f, 0xbdba7871, 0x00000000,
  0x3da2faff, 0x3e24cae3, 0x3e7c04dd, 0x3ead033a, 0x3ee1a4b8, 0x3f1007ab, 0x3f3913b3, 0x3f800000,
]);

// Upper threshold of each NF4 code: a value above it has a higher code, a tie stays. The last is +Inf.
export const NF4_UPPER: usize = memory.data<u32>([
  0xbf591cd8, 0xbf1c5270, 0xbeeb8480, 0xbeadea76, 0xbe703cec, 0xbe0d38bc, 0xbd3a7871, 0x3d22faff,
  0x3df64862, 0x3e5067e0, 0x3e9582d4, 0x3ec753f9, 0x3f006d04, 0x3f248daf, 0x3f5c89da, 0x7f800000,
]);

// FP4: bit 3 is the sign, the low three bits name a magnitude. Index 8 is +0, as checkpoints store it.
export const FP4_CODE: usize = memory.data<u32>([
  0x00000000, 0x3baaaaab, 0x3f2aaaab, 0x3f800000, 0x3eaaaaab, 0x3f000000, 0x3e2aaaab, 0x3e800000,
  0x00000000, 0xbbaaaaab, 0xbf2aaaab, 0xbf800000, 0xbeaaaaab, 0xbf000000, 0xbe2aaaab, 0xbe800000,
]);

// INT4: symmetric, (index - 7) / 7. Nothing encodes to 15, which is a second 1.
export const INT4_CODE: usize = memory.data<u32>([
  0xbf800000, 0xbf5b6db7, 0xbf36db6e, 0xbf124925, 0xbedb6db7, 0xbe924925, 0xbe124925, 0x00000000,
  0x3e124925, 0x3e924925, 0x3edb6db7, 0x3f124925, 0x3f36db6e, 0x3f5b6db7, 0x3f800000, 0x3f800000,
]);

// Upper threshold of each FP4 magnitude in ascending order (CUDA's literals, not the midpoints); eight
// entries of +Inf fill the table up to one register.
export const FP4_UPPER: usize = memory.data<u32>([
  0x3b2aaab9, 0x3db00000, 0x3e555555, 0x3e955555, 0x3ed55556, 0x3f155550, 0x3f555555, 0x7f800000,
  0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000,
]);

// The same for bitsandbytes' CPU code: midpoints in f32, up to 14 ulp from CUDA's.
export const FP4_CPU_UPPER: usize = memory.data<u32>([
  0x3b2aaaab, 0x3db00000, 0x3e555556, 0x3e955556, 0x3ed55556, 0x3f155556, 0x3f555556, 0x7f800000,
  0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000,
]);

// Rank of a magnitude -> its three low bits (the codes are not in order of size).
export const FP4_OF_RANK: usize = memory.data<u8>([0, 1, 6, 7, 4, 5, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3]);

// Signed dynamic 8-bit map, indices 128..255. 127 is 0, and 127 - k is minus 127 + k.
const DYNAMIC_POSITIVE: usize = memory.data<u32>([
  0x3513a3b7, 0x365a1a94, 0x370205ff, 0x37b24206, 0x38378034, 0x388aefb3, 0x38ba1f4b, 0x3923d70b,
  0x398ce705, 0x39c7e283, 0x3a016f01, 0x3a1eecc1, 0x3a3c6a80, 0x3a59e83e, 0x3a7765ff, 0x3aa7ef9d,
  0x3af1a9fc, 0x3b1db22d, 0x3b428f5c, 0x3b676c8a, 0x3b8624dd, 0x3b989374, 0x3bab020d, 0x3bbd70a4,
  0x3bcfdf3b, 0x3be24dd3, 0x3bf4bc6a, 0x3c039581, 0x3c0ccccd, 0x3c160418, 0x3c1f3b64, 0x3c3ae148,
  0x3c68f5c3, 0x3c8b851f, 0x3ca28f5d, 0x3cb9999a, 0x3cd0a3d7, 0x3ce7ae15, 0x3cfeb852, 0x3d0ae148,
  0x3d166667, 0x3d21eb85, 0x3d2d70a3, 0x3d38f5c3, 0x3d447ae1, 0x3d500000, 0x3d5b851f, 0x3d670a3d,
  0x3d728f5d, 0x3d7e147b, 0x3d84cccd, 0x3d8a8f5d, 0x3d9051eb, 0x3d96147b, 0x3d9bd70a, 0x3da1999a,
  0x3da75c2a, 0x3dad1eb8, 0x3db2e148, 0x3db8a3d7, 0x3dbe6667, 0x3dc428f7, 0x3dc9eb85, 0x3ddb3334,
  0x3df80000, 0x3e0a6666, 0x3e18cccd, 0x3e273333, 0x3e35999a, 0x3e440000, 0x3e526666, 0x3e60cccd,
  0x3e6f3333, 0x3e7d9999, 0x3e860000, 0x3e8d3334, 0x3e946666, 0x3e9b999a, 0x3ea2cccc, 0x3eaa0000,
  0x3eb13333, 0x3eb86666, 0x3ebf999a, 0x3ec6cccc, 0x3ece0000, 0x3ed53333, 0x3edc6666, 0x3ee3999a,
  0x3eeacccc, 0x3ef20000, 0x3ef93332, 0x3f003333, 0x3f03cccc, 0x3f076666, 0x3f0b0000, 0x3f0e999a,
  0x3f123334, 0x3f15cccd, 0x3f196666, 0x3f1d0000, 0x3f20999a, 0x3f243334, 0x3f27cccd, 0x3f2b6666,
  0x3f2f0000, 0x3f32999a, 0x3f363334, 0x3f39cccd, 0x3f3d6666, 0x3f410000, 0x3f44999a, 0x3f483333,
  0x3f4bcccd, 0x3f4f6666, 0x3f530000, 0x3f56999a, 0x3f5a3333, 0x3f5dcccd, 0x3f616666, 0x3f650000,
  0x3f68999a, 0x3f6c3333, 0x3f6fcccd, 0x3f736666, 0x3f770000, 0x3f7a999a, 0x3f7e3333, 0x3f800000,
]);
export const DYNAMIC_CODE: usize = memory.data(256 * 4, 16);
// The host writes the map of a checkpoint here, where it is another one.
export const GIVEN_CODE: usize = memory.data(256 * 4, 16);

// A 32-bit entry of a 16-entry table reaches a lane through four byte lookups, so each table is kept as
// four byte planes of 16 bytes.
export const NF4_UPPER_PLANES: usize = memory.data(64, 16);
export const FP4_UPPER_PLANES: usize = memory.data(64, 16);
export const FP4_CPU_UPPER_PLANES: usize = memory.data(64, 16);
export const NF4_CODE_PLANES: usize = memory.data(64, 16);
export const FP4_CODE_PLANES: usize = memory.data(64, 16);
export const INT4_CODE_PLANES: usize = memory.data(64, 16);

// Bins: s lands in bin rne(s * BINS) + offset. A bin is narrower than the smallest distance between two
// thresholds (0.0805 for NF4, 0.0828 for FP4), so it holds at most one: the code is the bin's lowest code,
// or one more, and a single exact comparison decides.
// @ts-ignore: decorator
@inline export const NF4_BINS: f32 = 15.49;
// @ts-ignore: decorator
@inline export const NF4_BIN_OFFSET: i32 = 16;
// @ts-ignore: decorator
@inline export const FP4_BINS: f32 = 15.0;
export const NF4_LOWEST: usize = memory.data(32, 16);
export const FP4_LOWEST: usize = memory.data(16, 16);

// Dynamic code: thresholds (255 midpoints and +Inf), and the lowest code of each bucket. A bucket is a sign
// and the top bits of |s| down to six of the mantissa, which again holds at most one threshold.
export const DYNAMIC_UPPER: usize = memory.data(256 * 4, 16);
// @ts-ignore: decorator
@inline export const BUCKET_SHIFT: u32 = 17;
// 2^-22 and less share bucket 0, which holds no threshold: the smallest is 2.75e-7.
// @ts-ignore: decorator
@inline export const FIRST_BUCKET: i32 = 0x34800000 >> 17;
// @ts-ignore: decorator
@inline export const LAST_BUCKET: i32 = 0x3f800000 >> 17;
// @ts-ignore: decorator
@inline export const BUCKETS: i32 = 1409;
export const DYNAMIC_LOWEST: usize = memory.data(2 * 1409, 16);

function buildPlanes(table: usize, planes: usize): void {
  for (let i: usize = 0; i < 16; i++) {
    for (let byte: usize = 0; byte < 4; byte++) {
      store<u8>(planes + byte * 16 + i, load<u8>(table + i * 4 + byte));
    }
  }
}

/** Number of thresholds in table[0..count) below `value`. */
export function countBelow(table: usize, count: i32, value: f32): i32 {
  let below = 0;
  for (let i = 0; i < count; i++) below += i32(load<f32>(table + (<usize>i << 2)) < value);
  return below;
}

function buildBins(): void {
  for (let bin = 0; bin < 32; bin++) {
    const edge = (<f32>(bin - NF4_BIN_OFFSET) - 0.5) / NF4_BINS;
    store<u8>(NF4_LOWEST + bin, <u8>countBelow(NF4_UPPER, 15, edge));
  }
  for (let bin = 0; bin < 16; bin++) {
    // The slack covers both tables: their largest threshold is the edge of a bin but for an ulp.
    const edge = (<f32>bin - 0.5) / FP4_BINS - <f32>1e-6;
    store<u8>(FP4_LOWEST + bin, <u8>countBelow(FP4_UPPER, 7, edge));
  }
}

function buildDynamic(): void {
  for (let k: usize = 1; k <= 128; k++) {
    const bits = load<u32>(DYNAMIC_POSITIVE + (k - 1) * 4);
    store<u32>(DYNAMIC_CODE + (127 + k) * 4, bits);
    if (k < 128) store<u32>(DYNAMIC_CODE + (127 - k) * 4, bits | 0x80000000);
  }
  for (let i: usize = 0; i < 255; i++) {
    const at = DYNAMIC_CODE + i * 4;
    const midpoint = (load<f32>(at) + load<f32>(at, 4)) / 2;
    // CUDA sends an exact tie to the even index. From an odd index that means up: the threshold moves to
    // the float just below, so that "above the threshold" stays the only question.
    const odd = (i & 1) != 0;
    const bits = reinterpret<u32>(midpoint);
    const below = midpoint > 0 ? bits - 1 : bits + 1;
    store<u32>(DYNAMIC_UPPER + i * 4, odd ? below : bits);
  }
  store<f32>(DYNAMIC_UPPER + 255 * 4, Infinity);
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const smallest: u32 = <u32>(FIRST_BUCKET + bucket) << BUCKET_SHIFT;
    const largest: u32 = (<u32>(FIRST_BUCKET + bucket + 1) << BUCKET_SHIFT) - 1;
    const lowest = countBelow(DYNAMIC_UPPER, 255, reinterpret<f32>(smallest));
    const lowestNegative = countBelow(DYNAMIC_UPPER, 255, reinterpret<f32>(largest | 0x80000000));
    store<u8>(DYNAMIC_LOWEST + bucket, <u8>lowest);
    store<u8>(DYNAMIC_LOWEST + BUCKETS + bucket, <u8>lowestNegative);
  }
}

export function buildTables(): void {
  buildPlanes(NF4_UPPER, NF4_UPPER_PLANES);
  buildPlanes(FP4_UPPER, FP4_UPPER_PLANES);
  buildPlanes(FP4_CPU_UPPER, FP4_CPU_UPPER_PLANES);
  buildPlanes(NF4_CODE, NF4_CODE_PLANES);
  buildPlanes(FP4_CODE, FP4_CODE_PLANES);
  buildPlanes(INT4_CODE, INT4_CODE_PLANES);
  buildBins();
  buildDynamic();
}
