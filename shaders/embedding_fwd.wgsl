import package::lib::grid::flat_index;
@if(BF16) import package::lib::halves::bf16_pair;
@if(F16) import package::lib::halves::f16_pair;

// embedding_fwd: y[t,c] = scale * table[ids[t],c]
//
//   ids   (T)        u32  in
//   table (rows, C)  f32, or with BF16 or F16 pairs in u32  in   rows row0.. of the vocabulary
//   y     (T, C)     f32  out  rows whose id lies outside the shard are left alone
//
// Grid: one thread per element of y, with VEC4 (C a multiple of 4) per four of a row; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/embedding.ts   Reference: test/ref/embedding.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  C: u32,
  row0: u32, // first vocabulary row of this shard
  rows: u32, // rows in it
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@if(F32 && VEC4) @group(0) @binding(2) var<storage, read> table: array<vec4f>;
@if(F32 && !VEC4) @group(0) @binding(2) var<storage, read> table: array<f32>;
@if(!F32 && VEC4) @group(0) @binding(2) var<storage, read> table: array<vec2u>;
@if(!F32 && !VEC4) @group(0) @binding(2) var<storage, read> table: array<u32>;
@if(VEC4) @group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@if(!VEC4) @group(0) @binding(3) var<storage, read_write> y: array<f32>;

@if(F32 && VEC4) fn entry(i: u32) -> vec4f { return table[i]; }
@if(F32 && !VEC4) fn entry(i: u32) -> f32 { return table[i]; }
@if(BF16 && VEC4) fn entry(i: u32) -> vec4f { return vec4f(bf16_pair(table[i].x), bf16_pair(table[i].y)); }
@if(BF16 && !VEC4) fn entry(i: u32) -> f32 { return bf16_pair(table[i / 2u])[i % 2u]; }
@if(F16 && VEC4) fn entry(i: u32) -> vec4f { return vec4f(f16_pair(table[i].x), f16_pair(table[i].y)); }
@if(F16 && !VEC4) fn entry(i: u32) -> f32 { return f16_pair(table[i / 2u])[i % 2u]; }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  @if(VEC4) let columns = params.C / 4u;
  @if(!VEC4) let columns = params.C;
  if (i >= params.T * columns) { return; }
  let row = ids[i / columns] - params.row0; // an id below the shard wraps around to a large number
  if (row >= params.rows) { return; }
  y[i] = params.scale * entry(row * columns + i % columns);
}
