import package::lib::grid::flat_index;
import constants::PARTS;

// xent_loss: lse = log(sum(exp(logits))) of a row from its parts; row_loss = lse - logit[target], 0 where ignored
//
//   logits      (rows, V)      f32  in
//   targets     (T)            i32  in   already shifted; negative (-100) is ignored
//   peak, total (rows, PARTS)  f32  in
//   lse         (rows)         f32  out
//   row_loss    (T)            f32  out  rows row0.. of it; not weighted
//
// Grid: one thread per row; flat.
// Sums in f32 in part order: bit-repeatable.
// Host: src/kernels/xent.ts   Reference: test/ref/xent.ts

override WG: u32 = 64u;

struct Params {
  rows: u32,
  V: u32,
  row0: u32, // where this chunk's rows begin in targets and row_loss
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> peak: array<f32>;
@group(0) @binding(4) var<storage, read> total: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> row_loss: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_index(wg, grid, lane, WG);
  if (row >= params.rows) { return; }
  var top = peak[row * PARTS];
  for (var i = 1u; i < PARTS; i++) { top = max(top, peak[row * PARTS + i]); }
  var sum = 0.0;
  for (var i = 0u; i < PARTS; i++) { sum += total[row * PARTS + i] * exp(peak[row * PARTS + i] - top); }
  let log_sum = top + log(sum);
  lse[row] = log_sum;
  let wanted = targets[params.row0 + row];
  var loss = 0.0;
  if (wanted >= 0) { loss = log_sum - logits[row * params.V + u32(wanted)]; }
  row_loss[params.row0 + row] = loss;
}
