import package::lib::flags::{ beyond_f16, FLAG_INPUT, magnitude4 };
import package::lib::grid::flat_index;

// attention_operands: q, k and v as attention on tensor cores reads them: with ROPE q and k turned as by rope, then rounded
// to f16. With GRADIENTS dq and dk turned back (sign -1) and rounded, as the products of their layers read them
//
//   q (T, H*D), k and v (T, K*D)           f32  in   v not with GRADIENTS
//   q_out, k_out, v_out, of the same size  f16  out
//   cos_table, sin_table (>= S, D/2)       f32  in   ROPE: by position and pair
//   positions (T)  u32  in  POSITIONS: where a row stands, below S; else at t mod S
//   flags (1)      u32      what left f16's range
//
// Grid: one thread per eight elements, four pairs (j, j + D/2), of a head (of q, then of k, then of v) of a row; flat.
// f32, each pair by one thread, rounded once: bit-repeatable.
// Host: src/kernels/attention-operands.ts   Reference: test/ref/rope.ts

enable f16;

override WG: u32 = 64u;

struct Params {
  T: u32,
  S: u32,
  H: u32,
  K: u32,
  D: u32,
  sign: f32, // 1 forward, -1 backward
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@if(!GRADIENTS) @group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> q_out: array<vec4<f16>>;
@group(0) @binding(5) var<storage, read_write> k_out: array<vec4<f16>>;
@if(!GRADIENTS) @group(0) @binding(6) var<storage, read_write> v_out: array<vec4<f16>>;
@group(0) @binding(7) var<storage, read_write> flags: atomic<u32>;
@if(ROPE) @group(0) @binding(8) var<storage, read> cos_table: array<vec4f>;
@if(ROPE) @group(0) @binding(9) var<storage, read> sin_table: array<vec4f>;
@if(ROPE && POSITIONS) @group(0) @binding(10) var<storage, read> positions: array<u32>;

struct Pairs { a: vec4f, b: vec4f }

fn turned(pairs: Pairs, row: u32, j: u32) -> Pairs {
  @if(ROPE && POSITIONS) let position = positions[row];
  @if(ROPE && !POSITIONS) let position = row % params.S;
  @if(ROPE) let angle = position * (params.D / 8u) + j;
  @if(ROPE) let co = cos_table[angle];
  @if(ROPE) let si = params.sign * sin_table[angle];
  @if(ROPE) return Pairs(pairs.a * co - pairs.b * si, pairs.b * co + pairs.a * si);
  @if(!ROPE) return pairs;
}
fn see(pairs: Pairs) {
  if (beyond_f16(max(magnitude4(pairs.a), magnitude4(pairs.b)))) { atomicOr(&flags, FLAG_INPUT); }
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flat_index(wg, grid, lane, WG);
  let half = params.D / 8u;
  @if(!GRADIENTS) let heads = params.H + 2u * params.K;
  @if(GRADIENTS) let heads = params.H + params.K;
  if (i >= params.T * heads * half) { return; }
  let j = i % half;
  let head = i / half % heads;
  let row = i / half / heads;
  if (head < params.H) {
    let at = (row * params.H + head) * 2u * half + j;
    let pairs = turned(Pairs(q[at], q[at + half]), row, j);
    see(pairs);
    q_out[at] = vec4<f16>(pairs.a);
    q_out[at + half] = vec4<f16>(pairs.b);
  } else if (head < params.H + params.K) {
    let at = (row * params.K + head - params.H) * 2u * half + j;
    let pairs = turned(Pairs(k[at], k[at + half]), row, j);
    see(pairs);
    k_out[at] = vec4<f16>(pairs.a);
    k_out[at + half] = vec4<f16>(pairs.b);
  }
  @if(!GRADIENTS) if (head >= params.H + params.K) {
    let at = (row * params.K + head - params.H - params.K) * 2u * half + j;
    let pairs = Pairs(v[at], v[at + half]);
    see(pairs);
    v_out[at] = vec4<f16>(pairs.a);
    v_out[at + half] = vec4<f16>(pairs.b);
  }
}
