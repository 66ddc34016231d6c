import package::lib::grid::flat_index;
import package::lib::dropout::keep4;
import package::lib::step::Step;

// dropout_bwd: dx (+)= dy * keep / (1 - p), the forward's mask made again
//
//   dy (n)  f32  in
//   dx (n)  f32  out, or in/out where accumulate is 1
//
// Grid: one thread per four elements, with VEC4 (n a multiple of 4) as one load; flat.
// f32 per element, the mask a pure function of the step and the element: bit-repeatable.
// Host: src/kernels/dropout.ts   Reference: src/kernels/philox.ts

override WG: u32 = 64u;

struct Params {
  n: u32,
  op: u32,         // number of this dropout in the model
  threshold: u32,  // p in units of 2^-32
  scale: f32,      // 1 / (1 - p)
  accumulate: u32, // 1 adds to dx, 0 stores
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@if(VEC4) @group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read> dy: array<f32>;
@if(VEC4) @group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;
@if(!VEC4) @group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= (params.n + 3u) / 4u) { return; }
  let keep = keep4(i, params.op, params.threshold, step);
  @if(VEC4) {
    let d = select(vec4f(), dy[i] * params.scale, keep);
    if (params.accumulate == 1u) { dx[i] += d; } else { dx[i] = d; }
  }
  @if(!VEC4) {
    for (var j = 4u * i; j < min(4u * i + 4u, params.n); j++) {
      let d = select(0.0, dy[j] * params.scale, keep[j % 4u]);
      if (params.accumulate == 1u) { dx[j] += d; } else { dx[j] = d; }
    }
  }
}
