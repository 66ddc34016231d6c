@if(Y_F16) import package::lib::flags::{ beyond_f16, FLAG_INPUT, magnitude4 };
import package::lib::grid::flat_index;
@if(SHARED_ROW) import package::lib::team::{ TEAM, team_sum };

// rmsnorm_fwd: y[t,c] = x[t,c] * rstd[t] * (offset + w[c]),  rstd[t] = 1 / sqrt(mean_c(x[t,c]^2) + eps)
//
//   x    (T, C)  f32  in
//   w    (C)     f32  in
//   y    (T, C)  f32  out   with Y_F16 (and VEC4) f16
//   rstd (T)     f32  out   kept for the backward
//   flags (1)    u32        Y_F16: what left f16's range
//
// Grid: one thread per row, with SHARED_ROW one workgroup; flat. With VEC4 (C a multiple of 4) four columns a load.
// Sums in f32 in column order, with SHARED_ROW by lane, then over the lanes in pairs: bit-repeatable.
// Host: src/kernels/rmsnorm.ts   Reference: test/ref/rmsnorm.ts

@if(Y_F16) enable f16;

@if(!SHARED_ROW) override WG: u32 = 64u;
@if(SHARED_ROW) const WG = TEAM;
@if(!SHARED_ROW) const STRIDE = 1u;
@if(SHARED_ROW) const STRIDE = TEAM;

struct Params {
  T: u32,
  C: u32,
  eps: f32,
  offset: f32, // 1 where weights are stored around 0, else 0
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) alias E = vec4f;
@if(!VEC4) alias E = f32;
@if(Y_F16) alias OfY = vec4<f16>;
@if(!Y_F16) alias OfY = E;
@group(0) @binding(1) var<storage, read> x: array<E>;
@group(0) @binding(2) var<storage, read> w: array<E>;
@group(0) @binding(3) var<storage, read_write> y: array<OfY>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;
@if(Y_F16) @group(0) @binding(5) var<storage, read_write> flags: atomic<u32>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  @if(!SHARED_ROW) let t = flat_index(wg, grid, lane, WG);
  @if(SHARED_ROW) let t = flat_index(wg, grid, 0u, 1u);
  @if(!SHARED_ROW) let first = 0u;
  @if(SHARED_ROW) let first = lane;
  if (t >= params.T) { return; }
  @if(VEC4) let columns = params.C / 4u;
  @if(!VEC4) let columns = params.C;
  let row = t * columns;
  var squares = E();
  for (var c = first; c < columns; c += STRIDE) {
    let v = x[row + c];
    squares += v * v;
  }
  @if(VEC4) var sum = squares.x + squares.y + squares.z + squares.w;
  @if(!VEC4) var sum = squares;
  @if(SHARED_ROW) sum = team_sum(lane, sum);
  let r = 1.0 / sqrt(sum / f32(params.C) + params.eps); // inverseSqrt may be far less exact
  @if(!SHARED_ROW) rstd[t] = r;
  @if(SHARED_ROW) if (lane == 0u) { rstd[t] = r; }
  @if(Y_F16) var seen = vec4u();
  for (var c = first; c < columns; c += STRIDE) {
    let value = x[row + c] * r * (params.offset + w[c]);
    @if(Y_F16) seen = max(seen, magnitude4(value));
    y[row + c] = OfY(value);
  }
  @if(Y_F16) if (beyond_f16(seen)) { atomicOr(&flags, FLAG_INPUT); }
}
