import package::lib::grid::flat_index;
import package::lib::step::Step;

// adamw: g = g * clip;  m = beta1*m + (1-beta1)*g;  v = beta2*v + (1-beta2)*g^2;
//        p = p*(1 - lr*weight_decay) - lr/bias1 * m / (sqrt(v)/sqrt_bias2 + eps) with lr = step.lr * rate;  then g = 0
//
//   p, m, v (n)     f32  in/out  untouched when the gradient is not finite
//   g       (n)     f32  in/out  zero afterwards, always
//   metrics (>= 3)  f32  in      [1] clip coefficient, [2] not finite
//
// Grid: one thread per element, with VEC4 (n a multiple of 4) per four; flat.
// f32 per element: bit-repeatable. 1 - beta comes from the host, since 1 - 0.999 in f32 is off by 1e-5.
// Host: src/kernels/adamw.ts   Reference: test/ref/optimizer.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements, or vectors of 4 with VEC4
  beta1: f32,
  beta2: f32,
  one_minus_beta1: f32,
  one_minus_beta2: f32,
  eps: f32,
  weight_decay: f32,
  rate: f32, // factor on the learning rate
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@if(VEC4) @group(0) @binding(2) var<storage, read_write> p: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read_write> p: array<f32>;
@if(VEC4) @group(0) @binding(3) var<storage, read_write> g: array<vec4f>;
@if(!VEC4) @group(0) @binding(3) var<storage, read_write> g: array<f32>;
@if(VEC4) @group(0) @binding(4) var<storage, read_write> m: array<vec4f>;
@if(!VEC4) @group(0) @binding(4) var<storage, read_write> m: array<f32>;
@if(VEC4) @group(0) @binding(5) var<storage, read_write> v: array<vec4f>;
@if(!VEC4) @group(0) @binding(5) var<storage, read_write> v: array<f32>;
@group(0) @binding(6) var<storage, read> metrics: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  let d = g[i] * metrics[1];
  @if(VEC4) g[i] = vec4f();
  @if(!VEC4) g[i] = 0.0;
  if (metrics[2] != 0.0) { return; }
  let first = params.beta1 * m[i] + params.one_minus_beta1 * d;
  let second = params.beta2 * v[i] + params.one_minus_beta2 * d * d;
  m[i] = first;
  v[i] = second;
  let lr = step.lr * params.rate;
  let decayed = p[i] * (1.0 - lr * params.weight_decay);
  p[i] = decayed - lr / step.bias1 * first / (sqrt(second) / step.sqrt_bias2 + params.eps);
}
