import package::lib::grid::flat_index;

// dora_scale: y[t, n] (+)= x[t, n] * (gain * m[n] / norm[n] + offset)
//
//   x    (T, N)  f32  in
//   m    (N)     f32  in   magnitudes
//   norm (N)     f32  in   row norms of W + scaling * BA
//   y    (T, N)  f32  out; in/out where it adds
//
// Grid: one thread per element, with VEC4 (N a multiple of 4) per four of a row; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/dora.ts   Reference: test/ref/dora.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements, or vectors of 4 with VEC4
  columns: u32, // of a row, in the same unit
  gain: f32,
  offset: f32,
  accumulate: u32, // 1: add to y
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> x: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> x: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read> m: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read> m: array<f32>;
@if(VEC4) @group(0) @binding(3) var<storage, read> norm: array<vec4f>;
@if(!VEC4) @group(0) @binding(3) var<storage, read> norm: array<f32>;
@if(VEC4) @group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@if(!VEC4) @group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  let column = i % params.columns;
  let value = x[i] * (params.gain * m[column] / norm[column] + params.offset);
  if (params.accumulate == 1u) { y[i] += value; } else { y[i] = value; }
}
