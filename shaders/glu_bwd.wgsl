import package::lib::gelu::gelu_gate1;
import package::lib::gelu::gelu_gate4;
import package::lib::gelu::gelu_slope1;
import package::lib::gelu::gelu_slope4;
import package::lib::grid::flat_index;
import package::lib::sigmoid::sigmoid1;
import package::lib::sigmoid::sigmoid4;

// glu_bwd: dgate = dh * up * s * (1 + gate * (1 - s) * u'),  dup = dh * gate * s,  s = sigmoid(u),
//          u = gate (SwiGLU), or with GELU u = 2 sqrt(2/pi) * (gate + 0.044715 gate^3)
//
//   gate, up, dh (T, F)  f32  in
//   dgate, dup   (T, F)  f32  out
//
// Grid: one thread per element, with VEC4 (T*F a multiple of 4) per four; flat.
// f32 per element: bit-repeatable.
// Host: src/kernels/glu.ts   Reference: test/ref/elementwise.ts

override WG: u32 = 64u;

struct Params {
  n: u32, // elements, or vectors of 4 with VEC4
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) alias E = vec4f;
@if(!VEC4) alias E = f32;
@group(0) @binding(1) var<storage, read> gate: array<E>;
@group(0) @binding(2) var<storage, read> up: array<E>;
@group(0) @binding(3) var<storage, read> dh: array<E>;
@group(0) @binding(4) var<storage, read_write> dgate: array<E>;
@group(0) @binding(5) var<storage, read_write> dup: array<E>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.n) { return; }
  let g = gate[i];
  let d = dh[i];
  @if(GELU && VEC4) let s = gelu_gate4(g);
  @if(GELU && !VEC4) let s = gelu_gate1(g);
  @if(!GELU && VEC4) let s = sigmoid4(g);
  @if(!GELU && !VEC4) let s = sigmoid1(g);
  @if(GELU && VEC4) let slope = gelu_slope4(g);
  @if(GELU && !VEC4) let slope = gelu_slope1(g);
  @if(GELU) let of_gate = d * up[i] * s * (1.0 + g * (1.0 - s) * slope);
  @if(!GELU) let of_gate = d * up[i] * s * (1.0 + g * (1.0 - s));
  dgate[i] = of_gate;
  dup[i] = d * g * s;
}
