import package::lib::grid::flat_index;

// attention_delta: delta = sum over a head's D of dO * o: what the softmax's backward subtracts
//
//   dO    (B*S, H*D)  f32  in
//   o     (B*S, H*D)  f32  in
//   delta (B*S, H)    f32  out
//
// Grid: one thread per (token, head); flat.
// Sums in f32 in order: bit-repeatable.
// Host: src/kernels/attention.ts   Reference: test/ref/attention.ts

override WG: u32 = 64u;

struct Params {
  rows: u32, // B*S*H
  D4: u32,   // D/4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dO: array<vec4f>;
@group(0) @binding(2) var<storage, read> o: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_index(wg, grid, lane, WG);
  if (row >= params.rows) { return; }
  var sum = 0.0;
  for (var i = row * params.D4; i < (row + 1u) * params.D4; i++) { sum += dot(dO[i], o[i]); }
  delta[row] = sum;
}
