// loss_scale: whether the update of a step is skipped, and the scale, rate and bias corrections of the step after it
//
//   flags   (1)      u32   in      not 0 where something left f16's range in this step
//   metrics (>= 3)   f32   in/out  [2] not finite: becomes 1 where a flag is up as well
//   rates   (>= 12)  f32   in      lr, bias1, sqrt_bias2 of update u in row u % 4
//   scaler  (8)      words in/out  as in Scaler
//
// Skipped:  scale *= backoff_factor, the next step is the same update again.
// Applied:  after growth_interval of these in a row scale *= growth_factor, where that is finite; the next update's rates.
// Grid: one thread, between grad_norm_final and adamw. Powers of two keep the scale exact.
// Host: src/kernels/loss-scale.ts   Reference: test/ref/loss-scale.ts

override WG: u32 = 64u;

const ROWS = 4u;
const SMALLEST = 1.1754944e-38; // the smallest normal f32: a scale of 0 would have no inverse

struct Params {
  growth_factor: f32,
  backoff_factor: f32,
  growth_interval: u32,
}

struct Scaler {
  // these four are copied over the beginning of the step scalars (lib/step.wgsl)
  lr: f32,
  bias1: f32,
  sqrt_bias2: f32,
  loss_scale: f32,
  growth_tracker: u32, // updates applied since the scale last changed
  updates: u32,        // updates applied
  // of the step that just ran, for the host to read
  used_scale: f32,
  used_updates: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> flags: atomic<u32>;
@group(0) @binding(2) var<storage, read_write> metrics: array<f32>;
@group(0) @binding(3) var<storage, read> rates: array<f32>;
@group(0) @binding(4) var<storage, read_write> scaler: Scaler;

fn is_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x > 0u) { return; }
  scaler.used_scale = scaler.loss_scale;
  scaler.used_updates = scaler.updates;
  if (metrics[2] != 0.0 || atomicLoad(&flags) != 0u) {
    metrics[2] = 1.0;
    scaler.loss_scale = max(scaler.loss_scale * params.backoff_factor, SMALLEST);
    scaler.growth_tracker = 0u;
    return;
  }
  let tracked = scaler.growth_tracker + 1u;
  let grown = scaler.loss_scale * params.growth_factor;
  let grows = tracked >= params.growth_interval;
  if (grows && is_finite(grown)) { scaler.loss_scale = grown; }
  scaler.growth_tracker = select(tracked, 0u, grows);
  scaler.updates += 1u;
  let row = scaler.updates % ROWS * 3u;
  scaler.lr = rates[row];
  scaler.bias1 = rates[row + 1u];
  scaler.sqrt_bias2 = rates[row + 2u];
}
