// What changes from step to step, in one small uniform buffer. Its twin is STEP_FIELDS in src/train/step-scalars.ts.
struct Step {
  lr: f32,         // learning rate of this optimizer step
  bias1: f32,      // 1 - beta1^t
  sqrt_bias2: f32, // sqrt(1 - beta2^t)
  loss_scale: f32, // up to here the words that shaders/loss_scale.wgsl decides in a float16 run
  inv_tokens: f32, // 1 / loss tokens of the optimizer step
  step: u32,       // optimizer step, from 0
  micro: u32,      // micro-batch within it, from 0
  seed: u32,
}
