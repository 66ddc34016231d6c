import package::lib::grid::flat_index;
import package::lib::dropout::keep4;
import package::lib::step::Step;

// dropout_fwd: y = x * keep / (1 - p), keep from Philox4x32-10 by (seed, step, micro, op, element)
//
//   x (n)  f32  in   with X_F16 (and VEC4) f16
//   y (n)  f32  out
//
// Grid: one thread per four elements, with VEC4 (n a multiple of 4) as one load; flat.
// f32 per element, the mask a pure function of the step and the element: bit-repeatable.
// Host: src/kernels/dropout.ts   Reference: src/kernels/philox.ts

@if(X_F16) enable f16;

override WG: u32 = 64u;

struct Params {
  n: u32,
  op: u32,        // number of this dropout in the model
  threshold: u32, // p in units of 2^-32
  scale: f32,     // 1 / (1 - p)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@if(VEC4) alias E = vec4f;
@if(!VEC4) alias E = f32;
@if(X_F16) alias OfX = vec4<f16>;
@if(!X_F16) alias OfX = E;
@group(0) @binding(2) var<storage, read> x: array<OfX>;
@group(0) @binding(3) var<storage, read_write> y: array<E>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= (params.n + 3u) / 4u) { return; }
  let keep = keep4(i, params.op, params.threshold, step);
  @if(VEC4) y[i] = select(vec4f(), E(x[i]) * params.scale, keep);
  @if(!VEC4) {
    for (var j = 0u; j < 4u && 4u * i + j < params.n; j++) {
      y[4u * i + j] = select(0.0, x[4u * i + j] * params.scale, keep[j]);
    }
  }
}
