import package::lib::grid::flat_index;
import constants::PARTS;

// dora_norm: norm[n] = sqrt(sum_p partial[n, p])
//
//   partial (N, PARTS)  f32  in
//   norm    (N)         f32  out
//
// Grid: one thread per row; flat.
// Sum in f32 in order: bit-repeatable.
// Host: src/kernels/dora.ts   Reference: test/ref/dora.ts

override WG: u32 = 64u;

struct Params {
  N: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partial: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = flat_index(wg, grid, lane, WG);
  if (n >= params.N) { return; }
  var sum = 0.0;
  for (var p = 0u; p < PARTS; p++) { sum += partial[n * PARTS + p]; }
  norm[n] = sqrt(sum);
}
