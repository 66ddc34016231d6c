@if(H_F16) import package::lib::flags::{ beyond_f16, FLAG_INPUT, magnitude4 };
import package::lib::gelu::gelu_gate1;
import package::lib::gelu::gelu_gate4;
import package::lib::grid::flat_index;
import package::lib::sigmoid::sigmoid1;
import package::lib::sigmoid::sigmoid4;

// glu_fwd: h = act(gate) * up,  act(g) = g * s,  s = sigmoid(g) (SwiGLU), or with GELU
//          s = sigmoid(2 sqrt(2/pi) * (g + 0.044715 g^3)), which makes act(g) the gelu by tanh (GeGLU)
//
//   gate, up (T, F)  f32  in
//   h        (T, F)  f32  out   with H_F16 (and VEC4) f16
//   flags    (1)     u32        H_F16: what left f16's range
//
// Grid: one thread per element, with VEC4 (T*F a multiple of 4) per four; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/glu.ts   Reference: test/ref/elementwise.ts

@if(H_F16) enable f16;

override WG: u32 = 64u;

struct Params {
  n: u32, // elements, or vectors of 4 with VEC4
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) alias E = vec4f;
@if(!VEC4) alias E = f32;
@if(H_F16) alias OfOut = vec4<f16>;
@if(!H_F16) alias OfOut = E;
@group(0) @binding(1) var<storage, read> gate: array<E>;
@group(0) @binding(2) var<storage, read> up: array<E>;
@group(0) @binding(3) var<storage, read_write> h: array<OfOut>;
@if(H_F16) @group(0) @binding(4) var<storage, read_write> flags: atomic<u32>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  let g = gate[i];
  @if(GELU && VEC4) let s = gelu_gate4(g);
  @if(GELU && !VEC4) let s = gelu_gate1(g);
  @if(!GELU && VEC4) let s = sigmoid4(g);
  @if(!GELU && !VEC4) let s = sigmoid1(g);
  let value = g * s * up[i];
  @if(H_F16) if (beyond_f16(magnitude4(value))) { atomicOr(&flags, FLAG_INPUT); }
  h[i] = OfOut(value);
}
