import package::lib::grid::flat_index;
import package::lib::step::Step;

// sgd: p = p - lr * (g * clip + weight_decay * p);  then g = 0
//
//   p       (n)     f32  in/out  untouched when the gradient is not finite
//   g       (n)     f32  in/out  zero afterwards, always
//   metrics (>= 3)  f32  in      [1] clip coefficient, [2] not finite
//
// Grid: one thread per element, with VEC4 (n a multiple of 4) per four; flat. lr = step.lr * rate.
// f32 per element: bit-repeatable.
// Host: src/kernels/sgd.ts   Reference: test/ref/optimizer.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements, or vectors of 4 with VEC4
  weight_decay: f32,
  rate: f32, // factor on the learning rate
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@if(VEC4) @group(0) @binding(2) var<storage, read_write> p: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read_write> p: array<f32>;
@if(VEC4) @group(0) @binding(3) var<storage, read_write> g: array<vec4f>;
@if(!VEC4) @group(0) @binding(3) var<storage, read_write> g: array<f32>;
@group(0) @binding(4) var<storage, read> metrics: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  let d = g[i] * metrics[1];
  @if(VEC4) g[i] = vec4f();
  @if(!VEC4) g[i] = 0.0;
  if (metrics[2] != 0.0) { return; }
  let lr = step.lr * params.rate;
  p[i] = p[i] - lr * (d + params.weight_decay * p[i]);
}
