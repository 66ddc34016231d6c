// 1 / (1 + exp(-x)). The exponent is capped, since WGSL promises nothing about an exp that overflows. A driver's min may
// swallow NaN here: callers multiply with x as well, which brings it back.

const EXPONENT_CAP: f32 = 80.0; // exp(80) = 5.5e34; sigmoid(-80) = 1.8e-35

fn sigmoid1(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(min(-x, EXPONENT_CAP)));
}

fn sigmoid4(x: vec4f) -> vec4f {
  return 1.0 / (1.0 + exp(min(-x, vec4f(EXPONENT_CAP))));
}
