import package::lib::grid::flat_index;

// token_columns: y[t, indices[j]] = x[t, j], with OWNED in the rows whose sequences have the adapter
//
//   indices (n)    u32    in      tokens whose rows of the head are trained, no two equal
//   x       (T, n) f32    in      their logits
//   y       (T, V) f32    in/out  the logits of all tokens
//   cursor  (T/S)  vec4u  in      OWNED; lib/cursor.wgsl: the third number is a sequence's adapter
//
// Grid: one thread per element of x; flat.
// Copies: bit-repeatable.
// Host: src/kernels/tokens.ts   Reference: test/kernels/tokens.test.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  V: u32,
  n: u32,
  S: u32, // rows of a sequence; OWNED
  adapter: u32, // OWNED
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@if(OWNED) @group(0) @binding(4) var<storage, read> cursor: array<vec4u>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.T * params.n) { return; }
  let t = i / params.n;
  @if(OWNED) if (cursor[t / params.S].z != params.adapter) { return; }
  y[t * params.V + indices[i % params.n]] = x[i];
}
