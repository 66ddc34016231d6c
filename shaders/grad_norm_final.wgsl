import package::lib::step::Step;

// grad_norm_final: from sums of squares to norm, clip coefficient and the flag of a gradient that is not finite
//
//   partial (count)  f32  in
//   metrics (>= 3)   f32  out  norm of the unscaled gradient; what AdamW multiplies the gradient with,
//                              min(1, max_norm / (norm + 1e-6)) / loss_scale; 1 if the sum is Inf or NaN, else 0
//
// Grid: one thread.
// Sum in f32 in order: bit-repeatable. A finite gradient whose squares overflow f32 counts as not finite.
// Host: src/kernels/grad-norm.ts   Reference: test/ref/optimizer.ts

override WG: u32 = 64u;

struct Params {
  count: u32,
  max_norm: f32, // 0: no clipping
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> partial: array<f32>;
@group(0) @binding(3) var<storage, read_write> metrics: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x > 0u) { return; }
  var sum = 0.0;
  for (var i = 0u; i < params.count; i++) { sum += partial[i]; }
  let broken = (bitcast<u32>(sum) & 0x7f800000u) == 0x7f800000u;
  let norm = sqrt(sum) / step.loss_scale;
  var coefficient = 1.0;
  if (params.max_norm > 0.0) { coefficient = min(1.0, params.max_norm / (norm + 1e-6)); }
  metrics[0] = norm;
  metrics[1] = coefficient / step.loss_scale;
  metrics[2] = select(0.0, 1.0, broken);
}
