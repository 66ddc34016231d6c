import package::lib::grid::flat_index;

// adapter_rows: y[t, n] = gain[a, n] * y[t, n] + bias[a, n]   a the adapter of row t's sequence, 0 for none
//
//   y    (T, N)   f32  in/out
//   gain (a, ld)  f32  in  GAIN; 1 without
//   bias (a, ld)  f32  in  BIAS; 0 without
//   cursor (T/S)  vec4u  in  lib/cursor.wgsl: the third number is a sequence's adapter
//
// Grid: one thread per element; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/adapters.ts   Reference: test/kernels/adapters.test.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  S: u32,  // rows of a sequence
  N: u32,
  ld: u32, // from one adapter's row of a table to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> cursor: array<vec4u>;
@if(GAIN) @group(0) @binding(3) var<storage, read> gain: array<f32>;
@if(BIAS) @group(0) @binding(4) var<storage, read> bias: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.T * params.N) { return; }
  let at = cursor[i / params.N / params.S].z * params.ld + i % params.N;
  var value = y[i];
  @if(GAIN) value *= gain[at];
  @if(BIAS) value += bias[at];
  y[i] = value;
}
