import package::lib::grid::flat_index;

// token_columns_bwd: x[t, j] = y[t, indices[j]], and y[t, indices[j]] = 0
//
//   indices (n)    u32  in      tokens whose rows of the head are trained, no two equal
//   x       (T, n) f32  out     gradients of their logits
//   y       (T, V) f32  in/out  gradients of all logits; what is left is the table's
//
// Grid: one thread per element of x; flat.
// Copies: bit-repeatable.
// Host: src/kernels/tokens.ts   Reference: test/kernels/tokens.test.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  V: u32,
  n: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.T * params.n) { return; }
  let at = (i / params.n) * params.V + indices[i % params.n];
  x[i] = y[at];
  y[at] = 0.0;
}
