import package::lib::flags::{ beyond_f16, FLAG_INPUT, magnitude4 };
import package::lib::gelu::{ gelu_gate4, gelu_slope4 };
import package::lib::grid::flat_index;
import package::lib::sigmoid::sigmoid4;

// glu_bwd_half: glu_bwd whose gradients take the place of gate and up, in f16: row t of dgate is the first half of the
// memory of row t of gate, and the other half is left over. Saves the memory of both gradients where it is scarcest.
//
//   gate, up (T, F)   f32  in    out: dgate, dup (T, F) f16 in rows of 2 F; F a multiple of 8
//   dh       (T, F)   f32  in    with DH_F16 f16
//   flags    (1)      u32        what left f16's range
//
// Grid: one workgroup per row; flat. It goes along the row, reading ahead of where it writes.
// f32 per element: bit-repeatable.
// Host: src/kernels/glu.ts   Reference: test/ref/elementwise.ts

enable f16;

override WG: u32 = 64u;

struct Params { T: u32, F: u32 }

@if(DH_F16) alias OfDh = vec4u; // eight halves
@if(!DH_F16) alias OfDh = vec4f;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gate: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> up: array<vec4u>;
@group(0) @binding(3) var<storage, read> dh: array<OfDh>;
@group(0) @binding(4) var<storage, read_write> flags: atomic<u32>;

struct Slopes { gate: vec4f, up: vec4f }

fn slopes(g: vec4f, u: vec4f, d: vec4f) -> Slopes {
  @if(GELU) let s = gelu_gate4(g);
  @if(GELU) let of_gate = d * u * s * (1.0 + g * (1.0 - s) * gelu_slope4(g));
  @if(!GELU) let s = sigmoid4(g);
  @if(!GELU) let of_gate = d * u * s * (1.0 + g * (1.0 - s));
  return Slopes(of_gate, d * g * s);
}

fn halves(v: vec4f) -> vec2u {
  if (beyond_f16(magnitude4(v))) { atomicOr(&flags, FLAG_INPUT); }
  return bitcast<vec2u>(vec4<f16>(v));
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32
) {
  let t = flat_index(wg, grid, 0u, 1u);
  if (t >= params.T) { return; }
  let eights = params.F / 8u;
  let row = t * 2u * eights;
  for (var first = 0u; first < eights; first += WG) {
    let i = first + lane;
    let at = row + 2u * min(i, eights - 1u);
    @if(DH_F16) let eight = dh[t * eights + min(i, eights - 1u)];
    @if(DH_F16) let low = vec4f(bitcast<vec4<f16>>(eight.xy));
    @if(DH_F16) let high = vec4f(bitcast<vec4<f16>>(eight.zw));
    @if(!DH_F16) let low = dh[at];
    @if(!DH_F16) let high = dh[at + 1u];
    let a = slopes(bitcast<vec4f>(gate[at]), bitcast<vec4f>(up[at]), low);
    let b = slopes(bitcast<vec4f>(gate[at + 1u]), bitcast<vec4f>(up[at + 1u]), high);
    storageBarrier(); // what is written next was read, by whichever lane
    if (i < eights) {
      gate[row + i] = vec4u(halves(a.gate), halves(b.gate));
      up[row + i] = vec4u(halves(a.up), halves(b.up));
    }
  }
}
