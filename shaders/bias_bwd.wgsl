import package::lib::grid::flat_index;

// bias_bwd: db[n] += scale * sum_t dy[t,n]
//
//   dy (T, N)  f32  in
//   db (N)     f32  in/out
//
// Grid: one thread per column, with VEC4 (N a multiple of 4) per four; flat. Neighbouring threads read neighbouring columns.
// Sums in f32 in row order: bit-repeatable.
// Host: src/kernels/bias.ts   Reference: test/ref/linear.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  columns: u32, // of dy, or vectors of 4 with VEC4
  scale: f32, // 1, or the scaling of a LoRA pair whose lora_B has the bias
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> dy: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read_write> db: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read_write> db: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = flat_index(wg, grid, lane, WG);
  if (n >= params.columns) { return; }
  @if(VEC4) var sum = vec4f();
  @if(!VEC4) var sum = 0.0;
  for (var t = 0u; t < params.T; t++) { sum += dy[t * params.columns + n]; }
  db[n] += params.scale * sum;
}
