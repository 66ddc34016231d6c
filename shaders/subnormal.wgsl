import package::lib::grid::flat_index;
// subnormal: y[i] = x[i] * scale
//
//   x (n)  f32 or f16  in
//   y (n)  f32 or f16  out
//
// Grid: one thread per element.
// One multiply in the type of the buffers. What becomes of subnormal inputs and results is the device's own choice, and
// what this kernel is there to show; other values are the same bits on every run.
// Host: src/kernels/subnormal.ts   Reference: test/kernels/subnormal.test.ts

@if(F16) enable f16;

override WG: u32 = 64u;

struct Params {
  n: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(F16) @group(0) @binding(1) var<storage, read> x: array<f16>;
@if(!F16) @group(0) @binding(1) var<storage, read> x: array<f32>;
@if(F16) @group(0) @binding(2) var<storage, read_write> y: array<f16>;
@if(!F16) @group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  @if(F16) y[i] = x[i] * f16(params.scale);
  @if(!F16) y[i] = x[i] * params.scale;
}
