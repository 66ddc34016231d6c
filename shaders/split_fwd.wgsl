import package::lib::grid::flat_index;

// split_fwd: y[t,n] = x[t,first+n], the columns of one part of a fused projection
//
//   x (T, width)    f32  in
//   y (T, columns)  f32  out
//
// Grid: one thread per element of y, with VEC4 (width, first and columns multiples of 4) per four of a row; flat.
// No arithmetic: bit-repeatable.
// Host: src/kernels/split.ts   Reference: test/ref/elementwise.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements of y; like all of these in vectors of 4 with VEC4
  columns: u32,
  width: u32,
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> x: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> x: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  y[i] = x[i / params.columns * params.width + params.first + i % params.columns];
}
