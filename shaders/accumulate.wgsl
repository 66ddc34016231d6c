import package::lib::grid::flat_index;

// accumulate: y += x (a gradient that a second path reaches)
//
//   x  (any shape)  f32  in
//   y  (the same)   f32  in/out
//
// Grid: one thread per element, with VEC4 (a multiple of 4 elements) per four; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/accumulate.ts   Reference: test/ref/elementwise.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements, or vectors of 4 with VEC4
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
  y[i] += x[i];
}
