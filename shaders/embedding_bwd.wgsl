import package::lib::grid::flat_index;

// embedding_bwd: dtable[v,c] += scale * sum of dy[t,c] over the tokens t with ids[t] = v
//
//   ids    (T)        u32  in
//   dy     (T, C)     f32  in
//   dtable (rows, C)  f32  in/out  rows row0.. of the vocabulary
//
// Grid: one thread per element of dy, with VEC4 (C a multiple of 4) per four of a row; flat. Only the first token of
// each id works: it gathers the later ones. T^2 comparisons beat V*T as long as a batch is shorter than the vocabulary.
// Sums in f32, in token order, without atomics: bit-repeatable.
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
@if(VEC4) @group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read> dy: array<f32>;
@if(VEC4) @group(0) @binding(3) var<storage, read_write> dtable: array<vec4f>;
@if(!VEC4) @group(0) @binding(3) var<storage, read_write> dtable: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  @if(VEC4) let columns = params.C / 4u;
  @if(!VEC4) let columns = params.C;
  if (i >= params.T * columns) { return; }
  let t = i / columns;
  let id = ids[t];
  let row = id - params.row0; // an id below the shard wraps around to a large number
  if (row >= params.rows) { return; }
  for (var earlier = 0u; earlier < t; earlier++) {
    if (ids[earlier] == id) { return; }
  }
  var sum = dy[i];
  for (var later = t + 1u; later < params.T; later++) {
    if (ids[later] == id) { sum += dy[later * columns + i % columns]; }
  }
  dtable[row * columns + i % columns] += params.scale * sum;
}
