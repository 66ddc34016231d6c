import package::lib::grid::flat_index;
@if(SHARED_ROW) import package::lib::team::{ TEAM, team_sum };

// rmsnorm_bwd_dx: dx[t,c] (+)= rstd[t] * (g[t,c] - x[t,c] * rstd[t]^2 * mean_c(g * x)),  g[t,c] = dy[t,c] * (offset + w[c])
//
//   x    (T, C)  f32  in
//   w    (C)     f32  in
//   rstd (T)     f32  in
//   dy   (T, C)  f32  in
//   dx   (T, C)  f32  out, or in/out where accumulate is 1
//
// Grid: one thread per row, with SHARED_ROW one workgroup; flat. With VEC4 (C a multiple of 4) four columns a load.
// Sums in f32 in column order, with SHARED_ROW by lane, then over the lanes in pairs: bit-repeatable.
// Host: src/kernels/rmsnorm.ts   Reference: test/ref/rmsnorm.ts

@if(!SHARED_ROW) override WG: u32 = 64u;
@if(SHARED_ROW) const WG = TEAM;
@if(!SHARED_ROW) const STRIDE = 1u;
@if(SHARED_ROW) const STRIDE = TEAM;

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
  @if(!SHARED_ROW) let t = flat_index(wg, grid, lane, WG);
  @if(SHARED_ROW) let t = flat_index(wg, grid, 0u, 1u);
  @if(!SHARED_ROW) let first = 0u;
  @if(SHARED_ROW) let first = lane;
  if (t >= params.T) { return; }
  @if(VEC4) let columns = params.C / 4u;
  @if(!VEC4) let columns = params.C;
  let row = t * columns;
  @if(VEC4) var along = vec4f();
  @if(!VEC4) var along = 0.0;
  for (var c = first; c < columns; c += STRIDE) {
    along += dy[row + c] * (params.offset + w[c]) * x[row + c];
  }
  @if(VEC4) var sum = along.x + along.y + along.z + along.w;
  @if(!VEC4) var sum = along;
  @if(SHARED_ROW) sum = team_sum(lane, sum);
  let r = rstd[t];
  let pull = r * r * sum / f32(params.C);
  for (var c = first; c < columns; c += STRIDE) {
    let d = r * (dy[row + c] * (params.offset + w[c]) - x[row + c] * pull);
    if (params.accumulate == 1u) { dx[row + c] += d; } else { dx[row + c] = d; }
  }
}
