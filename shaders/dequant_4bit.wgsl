import package::lib::flags::{ FLAG_WEIGHT, beyond_f16, magnitude4 };
import package::lib::nf4::{ HIGH_CODES, LOW_CODES, byte_of, codes4 };
import package::lib::tail::{ tail4, tail_halves };
// dequant_4bit: w[i] = code[nibble_i] * absmax[(first + i) / Q]
//   DOUBLE: absmax[b] = map[codes[b]] * nested[b / 256] + offset
//
//   packed (n / 2)   u8 in u32   in   element 2k in the high nibble of byte k
//   absmax (blocks)  f32         in   without DOUBLE
//   codes  (blocks)  u8 in u32   in   with DOUBLE
//   nested (blocks / 256 + 1) f32  in  with DOUBLE; the last one is the offset
//   tables (272)     f32         in   the 16 values of the 4-bit code, then the 256 of the dynamic map
//   w      (n)       f32 or f16  out  f16: eight in a vec4u
//   flags  (1)       u32         F16: a value that f16 does not hold
//
// Grid: one thread per 4 words of packed, 32 elements; Q is a multiple of 32. SPREAD: the words of a thread lie WG apart, so
// that neighbouring threads read and write neighbouring words; else they follow each other and share their block's scale.
// One multiply, then one rounding to w's type; the result is the same bits on every run.
// Host: src/kernels/dequant.ts   Reference: test/ref/nf4.ts

@if(F16) enable f16;

override WG: u32 = 64u;
const WORDS = 4u;

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
@if(F16) @group(0) @binding(5) var<storage, read_write> w: array<vec4u>;
@if(!F16) @group(0) @binding(5) var<storage, read_write> w: array<vec4f>;
@if(F16) @group(0) @binding(6) var<storage, read_write> flags: atomic<u32>;

fn scale_of(word: u32) -> f32 {
  let block = params.first_block + 8u * word / params.Q;
  @if(DOUBLE) return tables[16u + byte_of(codes[block / 4u], block)] * nested[block / 256u] + nested[params.offset_at];
  @if(!DOUBLE) return absmax[block];
}

fn values4(word: u32, shifts: vec4u, scale: f32) -> vec4f {
  let code = codes4(word, shifts);
  return vec4f(tables[code.x], tables[code.y], tables[code.z], tables[code.w]) * scale;
}

fn decode(at: u32, scale: f32) {
  let word = packed[at];
  var low = values4(word, LOW_CODES, scale);
  var high = values4(word, HIGH_CODES, scale);
  let count = params.n - 8u * at;
  @if(F16) {
    if (count < 8u) {
      low = tail4(low, vec4f(), count);
      high = tail4(high, vec4f(), max(count, 4u) - 4u);
    }
    if (beyond_f16(max(magnitude4(low), magnitude4(high)))) { atomicOr(&flags, FLAG_WEIGHT); }
    let halves = vec4u(bitcast<vec2u>(vec4h(low)), bitcast<vec2u>(vec4h(high)));
    if (count >= 8u) { w[at] = halves; } else { w[at] = tail_halves(halves, w[at], count); }
  }
  @if(!F16) {
    if (count >= 8u) {
      w[2u * at] = low;
      w[2u * at + 1u] = high;
    } else {
      w[2u * at] = tail4(low, w[2u * at], count);
      if (count > 4u) { w[2u * at + 1u] = tail4(high, w[2u * at + 1u], count - 4u); }
    }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = wg.x + wg.y * grid.x;
  let words = (params.n + 7u) / 8u;
  @if(SPREAD) {
    for (var k = 0u; k < WORDS; k++) {
      let at = (group * WORDS + k) * WG + lane;
      if (at < words) { decode(at, scale_of(at)); }
    }
  }
  @if(!SPREAD) {
    let first = (group * WG + lane) * WORDS;
    if (first >= words) { return; }
    let scale = scale_of(first);
    let end = min(first + WORDS, words);
    for (var at = first; at < end; at++) { decode(at, scale); }
  }
}
