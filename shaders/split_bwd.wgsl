import package::lib::grid::flat_index;

// split_bwd: dx[t,first+n] = dy[t,n], the gradient of one part of a fused projection; other columns stay
//
//   dy (T, columns)  f32  in
//   dx (T, width)    f32  out
//
// Grid: one thread per element of dy, with VEC4 (width, first and columns multiples of 4) per four of a row; flat.
// No arithmetic: bit-repeatable.
// Host: src/kernels/split.ts   Reference: test/ref/elementwise.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements of dy; like all of these in vectors of 4 with VEC4
  columns: u32,
  width: u32,
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> dy: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read_write> dx: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  dx[i / params.columns * params.width + params.first + i % params.columns] = dy[i];
}
