import package::lib::philox::philox4x32;
import package::lib::step::Step;

// Which of elements 4i .. 4i+3 stay: dropoutMask in src/kernels/philox.ts says the same.
fn keep4(i: u32, op: u32, threshold: u32, step: Step) -> vec4<bool> {
  return philox4x32(vec4u(i, op, step.micro, step.step), vec2u(step.seed, 0u)) >= vec4u(threshold);
}
