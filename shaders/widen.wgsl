import package::lib::flags::{ FLAG_INPUT, FLAG_WEIGHT, beyond_f16, magnitude4 };
import package::lib::grid::flat_index;
import package::lib::halves::{ bf16_pair, f16_pair };
import package::lib::tail::{ tail4, tail_halves };
// widen: w[i] = source[i] in the compute type
//
//   source (n)  bf16 or f16, eight in a vec4u (lower half of a word first), or f32   in
//   w      (n)  f32 or f16                                                           out  f16: eight in a vec4u
//   flags  (1)  u32                                    TO_F16: a value that f16 does not hold, of an ACTIVATION or a weight
//
// Grid: one thread per 8 elements.
// bf16 and f16 widen exactly to f32; to f16 (TO_F16) values are rounded once. The result is the same bits on every run.
// Host: src/kernels/dequant.ts   Reference: test/kernels/dequant.test.ts

@if(TO_F16) enable f16;

@if(ACTIVATION) const FLAG = FLAG_INPUT;
@if(!ACTIVATION) const FLAG = FLAG_WEIGHT;

override WG: u32 = 64u;

struct Params {
  n: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(F32) @group(0) @binding(1) var<storage, read> source: array<vec4f>;
@if(!F32) @group(0) @binding(1) var<storage, read> source: array<vec4u>;
@if(TO_F16) @group(0) @binding(2) var<storage, read_write> w: array<vec4u>;
@if(!TO_F16) @group(0) @binding(2) var<storage, read_write> w: array<vec4f>;
@if(TO_F16) @group(0) @binding(3) var<storage, read_write> flags: atomic<u32>;

@if(BF16) fn four(words: vec2u) -> vec4f { return vec4f(bf16_pair(words.x), bf16_pair(words.y)); }
@if(F16) fn four(words: vec2u) -> vec4f { return vec4f(f16_pair(words.x), f16_pair(words.y)); }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = flat_index(wg, grid, lane, WG);
  if (8u * at >= params.n) { return; }
  let count = params.n - 8u * at;
  @if(F32) var low = source[2u * at];
  @if(F32) var high = source[2u * at + 1u];
  @if(!F32) let words = source[at];
  @if(!F32) var low = four(words.xy);
  @if(!F32) var high = four(words.zw);
  @if(TO_F16) {
    if (count < 8u) {
      low = tail4(low, vec4f(), count);
      high = tail4(high, vec4f(), max(count, 4u) - 4u);
    }
    if (beyond_f16(max(magnitude4(low), magnitude4(high)))) { atomicOr(&flags, FLAG); }
    let halves = vec4u(bitcast<vec2u>(vec4h(low)), bitcast<vec2u>(vec4h(high)));
    if (count >= 8u) { w[at] = halves; } else { w[at] = tail_halves(halves, w[at], count); }
  }
  @if(!TO_F16) {
    if (count >= 8u) {
      w[2u * at] = low;
      w[2u * at + 1u] = high;
    } else {
      w[2u * at] = tail4(low, w[2u * at], count);
      if (count > 4u) { w[2u * at + 1u] = tail4(high, w[2u * at + 1u], count - 4u); }
    }
  }
}
