import package::lib::grid::flat_index;
// add_fwd: y[i] = a[i] + b[i]
//
//   a (n)  f32  in
//   b (n)  f32  in
//   y (n)  f32  out
//
// Grid: one thread per element, or per 4 with VEC4.
// No sums; the result is the same bits on every run.
// Host: src/kernels/add.ts   Reference: test/ref/elementwise.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements, or vectors of 4 with VEC4
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> a: array<vec4f>;
@if(VEC4) @group(0) @binding(2) var<storage, read> b: array<vec4f>;
@if(VEC4) @group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> a: array<f32>;
@if(!VEC4) @group(0) @binding(2) var<storage, read> b: array<f32>;
@if(!VEC4) @group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  y[i] = a[i] + b[i];
}
