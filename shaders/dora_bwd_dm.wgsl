import package::lib::grid::flat_index;

// dora_bwd_dm: dm[n] += sum_t dy[t, n] * u[t, n] / norm[n]
//
//   dy   (T, N)  f32  in
//   u    (T, N)  f32  in   (W + scaling * BA) x
//   norm (N)     f32  in
//   dm   (N)     f32  in/out
//
// Grid: one thread per column; flat. Neighbouring threads read neighbouring columns.
// Sums in f32 in row order: bit-repeatable.
// Host: src/kernels/dora.ts   Reference: test/ref/dora.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  N: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> u: array<f32>;
@group(0) @binding(3) var<storage, read> norm: array<f32>;
@group(0) @binding(4) var<storage, read_write> dm: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = flat_index(wg, grid, lane, WG);
  if (n >= params.N) { return; }
  var sum = 0.0;
  for (var t = 0u; t < params.T; t++) { sum += dy[t * params.N + n] * u[t * params.N + n]; }
  dm[n] += sum / norm[n];
}
