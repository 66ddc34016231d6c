import package::lib::flags::{ beyond_f16, FLAG_INPUT, magnitude4 };
import package::lib::grid::flat_index;

// attention_delta: delta = sum over a head's D of dO * o: what the softmax's backward subtracts
//
//   dO    (B*S, H*D)  f32  in
//   o     (B*S, H*D)  f32 or f16  in  O_F16
//   delta (B*S, H)    f32  out
//   half  (B*S, H*D)  f16  out  TO_F16: dO, rounded
//   flags (1)         u32       TO_F16: what left f16's range
//
// Grid: one thread per (token, head); flat.
// Sums in f32 in order: bit-repeatable.
// Host: src/kernels/attention.ts   Reference: test/ref/attention.ts

@if(O_F16 || TO_F16) enable f16;

override WG: u32 = 64u;

struct Params {
  rows: u32, // B*S*H
  D4: u32,   // D/4
}

@if(O_F16) alias OfO = vec4<f16>;
@if(!O_F16) alias OfO = vec4f;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dO: array<vec4f>;
@group(0) @binding(2) var<storage, read> o: array<OfO>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;
@if(TO_F16) @group(0) @binding(4) var<storage, read_write> half: array<vec4<f16>>;
@if(TO_F16) @group(0) @binding(5) var<storage, read_write> flags: atomic<u32>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = flat_index(wg, grid, lane, WG);
  if (row >= params.rows) { return; }
  var sum = 0.0;
  @if(TO_F16) var seen = vec4u();
  for (var i = row * params.D4; i < (row + 1u) * params.D4; i++) {
    let d = dO[i];
    sum += dot(d, vec4f(o[i]));
    @if(TO_F16) half[i] = vec4<f16>(d);
    @if(TO_F16) seen = max(seen, magnitude4(d));
  }
  delta[row] = sum;
  @if(TO_F16) if (beyond_f16(seen)) { atomicOr(&flags, FLAG_INPUT); }
}
