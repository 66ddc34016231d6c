import package::lib::grid::flat_index;
// matmul_reduce: y[m, n] (+)= scale * sum_s part[s, m, n] (+ bias[n]), the second stage of a product split along its depth
//
//   part (slices, M, N)  f32  in
//   bias (N from bias0)  f32  in   BIAS
//   y    (M, N)          f32  out  rows of ldy elements, columns from y0
//
// Grid: one thread per element, flat. Sums in f32 in the order of the slices; the result is the same bits on every run.
// Host: src/kernels/matmul-simt.ts   Reference: test/ref/linear.ts

override WG: u32 = 64u;

struct Params {
  M: u32,
  N: u32,
  ldy: u32,
  y0: u32,
  slices: u32,
  scale: f32,
  accumulate: u32, // 1: add to y
  bias0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@if(BIAS) @group(0) @binding(3) var<storage, read> bias: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.M * params.N) { return; }
  var sum = 0.0;
  for (var s = 0u; s < params.slices; s++) { sum += part[s * params.M * params.N + i]; }
  let at = i / params.N * params.ldy + params.y0 + i % params.N;
  var value = sum * params.scale;
  @if(BIAS) value += bias[params.bias0 + i % params.N];
  if (params.accumulate == 1u) { y[at] += value; } else { y[at] = value; }
}
