import package::lib::grid::flat_index;

// sum_partial: partial[at + i] = sum of x[i + j*threads] over j, of squares with SQUARES
//
//   x       (n)             f32  in
//   partial (>= at+threads) f32  out
//
// Grid: one thread per partial sum; flat. The stride keeps neighbouring threads on neighbouring memory.
// Sums in f32 in a fixed order: bit-repeatable.
// Host: src/kernels/grad-norm.ts   Reference: test/ref/optimizer.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements, or vectors of 4 with VEC4
  threads: u32,
  at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> x: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.threads) { return; }
  @if(VEC4) var sum = vec4f();
  @if(!VEC4) var sum = 0.0;
  for (var j = i; j < params.n; j += params.threads) {
    let v = x[j];
    @if(SQUARES) sum += v * v;
    @if(!SQUARES) sum += v;
  }
  @if(VEC4) partial[params.at + i] = sum.x + sum.y + sum.z + sum.w;
  @if(!VEC4) partial[params.at + i] = sum;
}
