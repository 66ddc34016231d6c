import package::lib::grid::flat_index;

// rmsnorm_bwd_dx: dx[t,c] (+)= rstd[t] * (g[t,c] - x[t,c] * rstd[t]^2 * mean_c(g * x)),  g[t,c] = dy[t,c] * (offset + w[c])
//
//   x    (T, C)  f32  in
//   w    (C)     f32  in
//   rstd (T)     f32  in
//   dy   (T, C)  f32  in
//   dx   (T, C)  f32  out, or in/out where accumulate is 1
//
// Grid: one thread per row; flat. With VEC4 (C a multiple of 4) four columns a load.
// Sums in f32 in column order: bit-repeatable.
// Host: src/kernels/rmsnorm.ts   Reference: test/ref/rmsnorm.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  C: u32,
  offset: f32, // 1 where weights are stored around 0, else 0
  accumulate: u32, // 1 adds to dx, 0 stores
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> x: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> x: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read> w: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@if(VEC4) @group(0) @binding(4) var<storage, read> dy: array<vec4f>;
@if(!VEC4) @group(0) @binding(4) var<storage, read> dy: array<f32>;
@if(VEC4) @group(0) @binding(5) var<storage, read_write> dx: array<vec4f>;
@if(!VEC4) @group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = flat_index(wg, grid, lane, WG);
  if (t >= params.T) { return; }
  @if(VEC4) let columns = params.C / 4u;
  @if(!VEC4) let columns = params.C;
  let row = t * columns;
  @if(VEC4) var along = vec4f();
  @if(!VEC4) var along = 0.0;
  for (var c = 0u; c < columns; c++) {
    along += dy[row + c] * (params.offset + w[c]) * x[row + c];
  }
  @if(VEC4) let sum = along.x + along.y + along.z + along.w;
  @if(!VEC4) let sum = along;
  let r = rstd[t];
  let pull = r * r * sum / f32(params.C);
  for (var c = 0u; c < columns; c++) {
    let d = r * (dy[row + c] * (params.offset + w[c]) - x[row + c] * pull);
    if (params.accumulate == 1u) { dx[row + c] += d; } else { dx[row + c] = d; }
  }
}
