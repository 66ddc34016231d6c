import package::lib::grid::flat_index;
import constants::PARTS;

// xent_partial: the maximum of one part of a logits row, and the sum of exp(logit - maximum) over it
//
//   logits (rows, V)         f32  in
//   peak   (rows, PARTS)     f32  out
//   total  (rows, PARTS)     f32  out
//
// Grid: one thread per (row, part), parts side by side; flat. Part i has columns i, i + PARTS, ... (of 4 with VEC4, V a
// multiple of 4), so that neighbouring threads read neighbouring memory.
// Sums in f32 in column order: bit-repeatable.
// Host: src/kernels/xent.ts   Reference: test/ref/xent.ts

override WG: u32 = 64u;

const NOTHING: f32 = -3.0e38; // finite: a part without columns counts exp(NOTHING - peak) * 0

struct Params {
  rows: u32,
  V: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> logits: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> peak: array<f32>;
@group(0) @binding(3) var<storage, read_write> total: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.rows * PARTS) { return; }
  @if(VEC4) let columns = params.V / 4u;
  @if(!VEC4) let columns = params.V;
  let end = (i / PARTS + 1u) * columns;
  let start = i / PARTS * columns + i % PARTS;
  @if(VEC4) var high = vec4f(NOTHING);
  @if(!VEC4) var high = NOTHING;
  for (var at = start; at < end; at += PARTS) { high = max(high, logits[at]); }
  @if(VEC4) let top = max(max(high.x, high.y), max(high.z, high.w));
  @if(!VEC4) let top = high;
  @if(VEC4) var sums = vec4f();
  @if(!VEC4) var sums = 0.0;
  for (var at = start; at < end; at += PARTS) { sums += exp(logits[at] - top); }
  peak[i] = top;
  @if(VEC4) total[i] = sums.x + sums.y + sums.z + sums.w;
  @if(!VEC4) total[i] = sums;
}
