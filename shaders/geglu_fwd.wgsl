import package::lib::grid::flat_index;
@if(VEC4) import package::lib::gelu::gelu_gate4;
@if(!VEC4) import package::lib::gelu::gelu_gate1;

// geglu_fwd: h = gelu(gate) * up,  gelu(g) = g/2 * (1 + tanh(sqrt(2/pi) * (g + 0.044715 g^3)))
//
//   gate, up (T, F)  f32  in
//   h        (T, F)  f32  out
//
// Grid: one thread per element, with VEC4 (T*F a multiple of 4) per four; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/geglu.ts   Reference: test/ref/elementwise.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements, or vectors of 4 with VEC4
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> gate: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> gate: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read> up: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read> up: array<f32>;
@if(VEC4) @group(0) @binding(3) var<storage, read_write> h: array<vec4f>;
@if(!VEC4) @group(0) @binding(3) var<storage, read_write> h: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  let g = gate[i];
  @if(VEC4) h[i] = g * gelu_gate4(g) * up[i];
  @if(!VEC4) h[i] = g * gelu_gate1(g) * up[i];
}
