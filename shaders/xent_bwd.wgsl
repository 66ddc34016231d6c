import package::lib::grid::flat_index;
import package::lib::step::Step;

// xent_bwd: logits become (softmax(logits) - onehot(target)) * inv_tokens * loss_scale, 0 where ignored; in place
//
//   logits  (rows, V)  f32  in/out
//   targets (T)        i32  in   already shifted; negative (-100) is ignored
//   lse     (rows)     f32  in
//
// Grid: one thread per element, with VEC4 (V a multiple of 4) per four of a row; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/xent.ts   Reference: test/ref/xent.ts

override WG: u32 = 64u;

struct Params {
  rows: u32,
  V: u32,
  row0: u32, // where this chunk's rows begin in targets
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@if(VEC4) @group(0) @binding(2) var<storage, read_write> logits: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read_write> logits: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  @if(VEC4) let columns = params.V / 4u;
  @if(!VEC4) let columns = params.V;
  if (i >= params.rows * columns) { return; }
  let row = i / columns;
  let wanted = targets[params.row0 + row];
  if (wanted < 0) {
    @if(VEC4) logits[i] = vec4f();
    @if(!VEC4) logits[i] = 0.0;
    return;
  }
  var d = exp(logits[i] - lse[row]);
  @if(VEC4) {
    let first = i % columns * 4u;
    d -= select(vec4f(), vec4f(1.0), vec4u(first, first + 1u, first + 2u, first + 3u) == vec4u(u32(wanted)));
  }
  @if(!VEC4) {
    if (i % columns == u32(wanted)) { d -= 1.0; }
  }
  logits[i] = d * (step.inv_tokens * step.loss_scale);
}
