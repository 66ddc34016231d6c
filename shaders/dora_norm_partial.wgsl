import package::lib::grid::flat_index;
import constants::PARTS;

// dora_norm_partial: partial[row, p] = sum over a share of the columns k of (w[row, k] + scaling * sum_r b[row, r] * a[r, k])^2
//
//   w       (rows, K)     f32 or f16  in   rows row0.. of the layer's weight; F16 where it is f16
//   a       (ranks, K)    f32         in   R rows from `first` on
//   b       (N, ranks)    f32         in   R columns from `first` on
//   partial (N, PARTS)    f32         out  rows row0 .. row0 + rows
//
// Grid: one thread per row and part; flat. The parts of a row read neighbouring columns, with VEC4 (K a multiple of 4) four
// at a time. W + BA never exists: each of its elements is made, squared and forgotten.
// Sums in f32 in a fixed order: bit-repeatable.
// Host: src/kernels/dora.ts   Reference: test/ref/dora.ts

@if(F16) enable f16;

override WG: u32 = 64u;

struct Params {
  rows: u32,
  K: u32,
  R: u32,
  row0: u32,
  scaling: f32,
  first: u32,
  ranks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4 && F16) @group(0) @binding(1) var<storage, read> w: array<vec4<f16>>;
@if(VEC4 && !F16) @group(0) @binding(1) var<storage, read> w: array<vec4f>;
@if(!VEC4 && F16) @group(0) @binding(1) var<storage, read> w: array<f16>;
@if(!VEC4 && !F16) @group(0) @binding(1) var<storage, read> w: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read> a: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.rows * PARTS) { return; }
  let row = i / PARTS;
  @if(VEC4) let columns = params.K / 4u;
  @if(!VEC4) let columns = params.K;
  let pair = (params.row0 + row) * params.ranks + params.first;
  let first = params.first * columns;
  @if(VEC4) var squares = vec4f();
  @if(!VEC4) var squares = 0.0;
  for (var k = i % PARTS; k < columns; k += PARTS) {
    @if(VEC4) var update = vec4f();
    @if(!VEC4) var update = 0.0;
    for (var r = 0u; r < params.R; r++) { update += b[pair + r] * a[first + r * columns + k]; }
    @if(VEC4) let sum = vec4f(w[row * columns + k]) + params.scaling * update;
    @if(!VEC4) let sum = f32(w[row * columns + k]) + params.scaling * update;
    squares += sum * sum;
  }
  @if(VEC4) partial[params.row0 * PARTS + i] = squares.x + squares.y + squares.z + squares.w;
  @if(!VEC4) partial[params.row0 * PARTS + i] = squares;
}
