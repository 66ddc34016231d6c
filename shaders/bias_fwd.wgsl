import package::lib::grid::flat_index;

// bias_fwd: y[t,n] += scale * b[n]
//
//   b (N)     f32  in
//   y (T, N)  f32  in/out
//
// Grid: one thread per element, with VEC4 (N a multiple of 4) per four of a row; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/bias.ts   Reference: test/ref/linear.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements of y, or vectors of 4 with VEC4
  columns: u32, // the same of a row
  scale: f32, // 1, or the scaling of a LoRA pair whose lora_B has the bias
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> b: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> b: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  y[i] += params.scale * b[i % params.columns];
}
