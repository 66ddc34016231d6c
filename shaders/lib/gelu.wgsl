import package::lib::sigmoid::sigmoid1;
import package::lib::sigmoid::sigmoid4;

// gelu(x) = x/2 * (1 + tanh(u)), u = sqrt(2/pi) * (x + 0.044715 x^3), as x * sigmoid(2u): the same, and exact near 0, where
// the tanh of software drivers is not.

const TWICE_SQRT_2_OVER_PI: f32 = 1.5957691216057308;
const CUBIC: f32 = 0.044715;

// gelu(x) / x
fn gelu_gate1(x: f32) -> f32 {
  return sigmoid1(TWICE_SQRT_2_OVER_PI * x * (1.0 + CUBIC * x * x));
}

fn gelu_gate4(x: vec4f) -> vec4f {
  return sigmoid4(TWICE_SQRT_2_OVER_PI * x * (1.0 + CUBIC * x * x));
}

// the derivative of 2u
fn gelu_slope1(x: f32) -> f32 {
  return TWICE_SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
}

fn gelu_slope4(x: vec4f) -> vec4f {
  return TWICE_SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
}
