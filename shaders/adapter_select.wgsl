import package::lib::grid::flat_index;

// adapter_select: y[t, :] = x[t, :] for the rows whose sequence has this adapter; the others stay as they are
//
//   x, y (T, N)   f32  in; in/out
//   cursor (T/S)  vec4u  in  lib/cursor.wgsl: the third number is a sequence's adapter
//
// Grid: one thread per element; flat.
// Copies: bit-repeatable.
// Host: src/kernels/adapters.ts   Reference: test/kernels/adapters.test.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  S: u32, // rows of a sequence
  N: u32,
  adapter: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> cursor: array<vec4u>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.T * params.N) { return; }
  if (cursor[i / params.N / params.S].z == params.adapter) { y[i] = x[i]; }
}
