import package::lib::gelu::gelu_gate1;
import package::lib::gelu::gelu_gate4;
import package::lib::grid::flat_index;
import package::lib::sigmoid::sigmoid1;
import package::lib::sigmoid::sigmoid4;

// glu_fwd: h = act(gate) * up,  act(g) = g * s,  s = sigmoid(g) (SwiGLU), or with GELU
//          s = sigmoid(2 sqrt(2/pi) * (g + 0.044715 g^3)), which makes act(g) the gelu by tanh (GeGLU)
//
//   gate, up (T, F)  f32  in
//   h        (T, F)  f32  out
//
// Grid: one thread per element, with VEC4 (T*F a multiple of 4) per four; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/glu.ts   Reference: test/ref/elementwise.ts

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
  @if(GELU && VEC4) let s = gelu_gate4(g);
  @if(GELU && !VEC4) let s = gelu_gate1(g);
  @if(!GELU && VEC4) let s = sigmoid4(g);
  @if(!GELU && !VEC4) let s = sigmoid1(g);
  h[i] = g * s * up[i];
}
