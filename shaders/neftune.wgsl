import package::lib::grid::flat_index;
import package::lib::philox::philox4x32;
import package::lib::step::Step;

// neftune: x = x + magnitude * (2 u - 1), u in [0, 1) from Philox4x32-10 by (seed, step, micro, op, element)
//
//   x (n)  f32  in/out
//
// Grid: one thread per four elements; flat. n is a multiple of 4.
// f32 per element, the noise a pure function of the step and the element: bit-repeatable.
// Host: src/kernels/neftune.ts   Reference: src/kernels/philox.ts

override WG: u32 = 64u;

struct Params {
  vectors: u32, // elements / 4
  op: u32,      // number of this noise among the sites of a model
  magnitude: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> x: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.vectors) { return; }
  let words = philox4x32(vec4u(i, params.op, step.micro, step.step), vec2u(step.seed, 0u));
  x[i] += params.magnitude * (vec4f(words) * 0x1p-31 - 1.0);
}
