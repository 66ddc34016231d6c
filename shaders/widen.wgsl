import package::lib::flags::{ F16_LARGEST, FLAG_WEIGHT };
import package::lib::grid::flat_index;
// widen: w[i] = source[i] in the compute type
//
//   source (n)  bf16 or f16, two in a u32 (lower half first), or f32   in
//   w      (n)  f32 or f16                                             out
//   flags  (1)  u32                                    TO_F16: a value that f16 does not hold
//
// Grid: one thread per 2 elements.
// bf16 and f16 widen exactly to f32; to f16 (TO_F16) values are rounded once. The result is the same bits on every run.
// Host: src/kernels/dequant.ts   Reference: test/kernels/dequant.test.ts

@if(TO_F16) enable f16;

override WG: u32 = 64u;

struct Params {
  n: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@if(TO_F16) @group(0) @binding(2) var<storage, read_write> w: array<f16>;
@if(!TO_F16) @group(0) @binding(2) var<storage, read_write> w: array<f32>;
@if(TO_F16) @group(0) @binding(3) var<storage, read_write> flags: atomic<u32>;

fn pair(at: u32) -> vec2f {
  @if(BF16) {
    let word = source[at];
    return vec2f(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
  }
  @if(F16) return unpack2x16float(source[at]);
  @if(F32) return vec2f(bitcast<f32>(source[2u * at]), bitcast<f32>(source[2u * at + 1u]));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = flat_index(wg, grid, lane, WG);
  let i = 2u * at;
  if (i >= params.n) { return; }
  let values = pair(at);
  @if(TO_F16) {
    let beyond = (bitcast<vec2u>(values) & vec2u(0x7fffffffu)) > vec2u(F16_LARGEST);
    if (beyond.x || (beyond.y && i + 1u < params.n)) { atomicOr(&flags, FLAG_WEIGHT); }
  }
  @if(TO_F16) w[i] = f16(values.x);
  @if(!TO_F16) w[i] = values.x;
  if (i + 1u >= params.n) { return; }
  @if(TO_F16) w[i + 1u] = f16(values.y);
  @if(!TO_F16) w[i + 1u] = values.y;
}
