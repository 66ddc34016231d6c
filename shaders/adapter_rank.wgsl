import package::lib::grid::flat_index;

// adapter_rank: xa[t, r] *= scales[r] where column r belongs to the adapter of row t's sequence, and becomes 0 elsewhere
//
//   xa     (T, R)  f32  in/out  x A^T for the A of several adapters, one below the other
//   owners (R)     u32  in      the adapter of each column, from 1
//   scales (R)     f32  in
//   cursor (T/S)   vec4u  in    lib/cursor.wgsl: the third number is a sequence's adapter
//
// Grid: one thread per element; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/adapters.ts   Reference: test/kernels/adapters.test.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  S: u32, // rows of a sequence
  R: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> xa: array<f32>;
@group(0) @binding(2) var<storage, read> owners: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<storage, read> cursor: array<vec4u>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.T * params.R) { return; }
  let r = i % params.R;
  let mine = owners[r] == cursor[i / params.R / params.S].z;
  if (mine) { xa[i] *= scales[r]; } else { xa[i] = 0.0; }
}
