import package::lib::grid::flat_index;
import constants::PARTS;

// xent_hit: 1 where the target's logit is the largest of its row, so that greedy decoding would take it; 0 elsewhere
//
//   logits  (rows, V)      f32  in
//   targets (T)            i32  in   already shifted; negative (-100) is no target
//   peak    (rows, PARTS)  f32  in   what xent_partial left
//   hit     (T)            u32  out  rows row0.. of it; every target that ties for the largest is one
//
// Grid: one thread per row; flat.
// Comparisons alone: bit-repeatable.
// Host: src/kernels/xent.ts   Reference: test/ref/xent.ts

override WG: u32 = 64u;

struct Params {
  rows: u32,
  V: u32,
  row0: u32, // where this chunk's rows begin in targets and hit
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> peak: array<f32>;
@group(0) @binding(4) var<storage, read_write> hit: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_index(wg, grid, lane, WG);
  if (row >= params.rows) { return; }
  let wanted = targets[params.row0 + row];
  var isLargest = wanted >= 0;
  if (isLargest) {
    let own = logits[row * params.V + u32(wanted)];
    for (var i = 0u; i < PARTS; i++) { isLargest = isLargest && own >= peak[row * PARTS + i]; }
  }
  hit[params.row0 + row] = select(0u, 1u, isLargest);
}
