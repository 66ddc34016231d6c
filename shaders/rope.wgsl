import package::lib::grid::flat_index;

// rope: (x[j], x[j + D/2]) of each head turned by the angle of its position, in place; sign -1 turns back (backward)
//
//   x (T, heads*D)  f32  in/out  row t stands at position t mod S, with CURSOR so much after its sequence's, or where `positions` says
//   cos_table, sin_table (>= S, D/2)  f32  in  by position and pair
//   positions (T)  u32  in  only with POSITIONS; below S
//   cursor (T/S)  vec4u  in  only with CURSOR: lib/cursor.wgsl
//
// Grid: one thread per pair, with VEC4 (D a multiple of 8) per four pairs; flat.
// f32, each pair by one thread: bit-repeatable.
// Host: src/kernels/rope.ts   Reference: test/ref/rope.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  S: u32,
  heads: u32,
  D: u32,
  sign: f32, // 1 forward, -1 backward
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read_write> x: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read_write> x: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read> cos_table: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read> cos_table: array<f32>;
@if(VEC4) @group(0) @binding(3) var<storage, read> sin_table: array<vec4f>;
@if(!VEC4) @group(0) @binding(3) var<storage, read> sin_table: array<f32>;
@if(POSITIONS) @group(0) @binding(4) var<storage, read> positions: array<u32>;
@if(CURSOR) @group(0) @binding(4) var<storage, read> cursor: array<vec4u>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  @if(VEC4) let half = params.D / 8u;
  @if(!VEC4) let half = params.D / 2u;
  if (i >= params.T * params.heads * half) { return; }
  let j = i % half;
  let head = i / half; // counts through all rows
  let row = head / params.heads;
  @if(POSITIONS) let position = positions[row];
  @if(CURSOR) let position = cursor[row / params.S].x + row % params.S;
  @if(!POSITIONS && !CURSOR) let position = row % params.S;
  let angle = position * half + j;
  let co = cos_table[angle];
  let si = params.sign * sin_table[angle];
  let first = head * 2u * half + j;
  let a = x[first];
  let b = x[first + half];
  x[first] = a * co - b * si;
  x[first + half] = b * co + a * si;
}
