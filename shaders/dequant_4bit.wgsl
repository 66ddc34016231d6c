import package::lib::flags::{ F16_LARGEST, FLAG_WEIGHT };
import package::lib::grid::flat_index;
// dequant_4bit: w[i] = code[nibble_i] * absmax[(first + i) / Q]
//   DOUBLE: absmax[b] = map[codes[b]] * nested[b / 256] + offset
//
//   packed (n / 2)   u8 in u32   in   element 2k in the high nibble of byte k
//   absmax (blocks)  f32         in   without DOUBLE
//   codes  (blocks)  u8 in u32   in   with DOUBLE
//   nested (blocks / 256 + 1) f32  in  with DOUBLE; the last one is the offset
//   tables (272)     f32         in   the 16 values of the 4-bit code, then the 256 of the dynamic map
//   w      (n)       f32 or f16  out
//   flags  (1)       u32         F16: a value that f16 does not hold
//
// Grid: one thread per 8 elements (one u32 of packed). Q is a multiple of 8, so they share a block.
// One multiply, then one rounding to w's type; the result is the same bits on every run.
// Host: src/kernels/dequant.ts   Reference: test/ref/nf4.ts

@if(F16) enable f16;

override WG: u32 = 64u;

struct Params {
  n: u32,           // elements of this shard
  first_block: u32, // block of its first element within the tensor
  Q: u32,
  offset_at: u32,   // index of the offset in nested; unused without DOUBLE
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> packed: array<u32>;
@if(DOUBLE) @group(0) @binding(2) var<storage, read> codes: array<u32>;
@if(DOUBLE) @group(0) @binding(3) var<storage, read> nested: array<f32>;
@if(!DOUBLE) @group(0) @binding(2) var<storage, read> absmax: array<f32>;
@group(0) @binding(4) var<storage, read> tables: array<f32>;
@if(F16) @group(0) @binding(5) var<storage, read_write> w: array<f16>;
@if(!F16) @group(0) @binding(5) var<storage, read_write> w: array<f32>;
@if(F16) @group(0) @binding(6) var<storage, read_write> flags: atomic<u32>;

@if(DOUBLE) fn scale_of(block: u32) -> f32 {
  let code = (codes[block / 4u] >> (block % 4u * 8u)) & 0xffu;
  return tables[16u + code] * nested[block / 256u] + nested[params.offset_at];
}
@if(!DOUBLE) fn scale_of(block: u32) -> f32 { return absmax[block]; }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let word_index = flat_index(wg, grid, lane, WG);
  let i = word_index * 8u;
  if (i >= params.n) { return; }
  let scale = scale_of(params.first_block + i / params.Q);
  let word = packed[word_index];
  let count = min(8u, params.n - i);
  @if(F16) var beyond = false;
  for (var j = 0u; j < count; j++) {
    // byte j/2 of the word; the even element is in its high nibble
    let nibble = (word >> ((j / 2u) * 8u + (1u - j % 2u) * 4u)) & 0xfu;
    let value = tables[nibble] * scale;
    @if(F16) w[i + j] = f16(value);
    @if(F16) beyond |= (bitcast<u32>(value) & 0x7fffffffu) > F16_LARGEST;
    @if(!F16) w[i + j] = value;
  }
  @if(F16) if (beyond) { atomicOr(&flags, FLAG_WEIGHT); }
}
