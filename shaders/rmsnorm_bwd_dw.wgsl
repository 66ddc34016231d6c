import package::lib::grid::flat_index;

// rmsnorm_bwd_dw: dw[c] += sum_t dy[t,c] * x[t,c] * rstd[t]
//
//   x    (T, C)  f32  in
//   rstd (T)     f32  in
//   dy   (T, C)  f32  in
//   dw   (C)     f32  in/out
//
// Grid: one thread per column; flat. Neighbouring threads read neighbouring columns.
// Sums in f32 in row order: bit-repeatable.
// Host: src/kernels/rmsnorm.ts   Reference: test/ref/rmsnorm.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  C: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = flat_index(wg, grid, lane, WG);
  if (c >= params.C) { return; }
  var sum = 0.0;
  for (var t = 0u; t < params.T; t++) {
    sum += dy[t * params.C + c] * x[t * params.C + c] * rstd[t];
  }
  dw[c] += sum;
}
