import package::lib::flags::{ beyond_f16, magnitude4, FLAG_INPUT, FLAG_WEIGHT };
import package::lib::grid::flat_index;
// matmul_nt: y[m, n] (+)= scale * sum_k x[m, k] * w[n, k] (+ bias[n])
//
//   x (M, K)  f32         in
//   w (N, K)  f32 or f16  in   from w0; F16: x passes through f16 as it is loaded (lavapipe 25 drops that rounding)
//   bias (N)  f32         in   BIAS: from bias0
//   y (M, N)  f32         out  rows of ldy elements, columns from col0
//
// Grid: one thread per 4 x 4 tile of y, tiles of one row of tiles side by side along N.
// Sums in f32 along k in order; the result is the same bits on every run.
// Host: src/kernels/matmul-direct.ts   Reference: test/ref/linear.ts

@if(F16) enable f16;

override WG: u32 = 64u;

struct Params {
  M: u32,
  N: u32,
  K: u32,
  w0: u32,
  ldy: u32,
  col0: u32,
  scale: f32,
  accumulate: u32, // 1: add to y
  bias0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4) @group(0) @binding(1) var<storage, read> x: array<vec4f>;
@if(!VEC4) @group(0) @binding(1) var<storage, read> x: array<f32>;
@if(VEC4 && F16) @group(0) @binding(2) var<storage, read> w: array<vec4<f16>>;
@if(VEC4 && !F16) @group(0) @binding(2) var<storage, read> w: array<vec4f>;
@if(!VEC4 && F16) @group(0) @binding(2) var<storage, read> w: array<f16>;
@if(!VEC4 && !F16) @group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@if(F16) @group(0) @binding(4) var<storage, read_write> flags: atomic<u32>; // what left f16's range
@if(BIAS) @group(0) @binding(5) var<storage, read> bias: array<f32>;

// the largest magnitudes that became operands
@if(F16) var<private> seen_x: vec4u;
@if(F16) var<private> seen_w: vec4u;

@if(VEC4) fn raw_x(row: u32, k: u32) -> vec4f { return x[(row * params.K + k) / 4u]; }
@if(VEC4) fn raw_w(row: u32, k: u32) -> vec4f { return vec4f(w[(params.w0 + row * params.K + k) / 4u]); }
@if(!VEC4) fn raw_x(row: u32, k: u32) -> vec4f {
  var v = vec4f();
  for (var j = 0u; j < 4u && k + j < params.K; j++) { v[j] = x[row * params.K + k + j]; }
  return v;
}
@if(!VEC4) fn raw_w(row: u32, k: u32) -> vec4f {
  var v = vec4f();
  for (var j = 0u; j < 4u && k + j < params.K; j++) { v[j] = f32(w[params.w0 + row * params.K + k + j]); }
  return v;
}
fn load_x(row: u32, k: u32) -> vec4f {
  let v = raw_x(row, k);
  @if(F16) seen_x = max(seen_x, magnitude4(v));
  @if(F16) return vec4f(vec4<f16>(v));
  @if(!F16) return v;
}
fn load_w(row: u32, k: u32) -> vec4f {
  let v = raw_w(row, k);
  @if(F16) seen_w = max(seen_w, magnitude4(v));
  return v;
}

fn store(m: u32, n: u32, sums: vec4f) {
  if (m >= params.M) { return; }
  let at = m * params.ldy + params.col0 + n;
  for (var j = 0u; j < 4u && n + j < params.N; j++) {
    var value = sums[j] * params.scale;
    @if(BIAS) value += bias[params.bias0 + n + j];
    if (params.accumulate == 1u) { y[at + j] += value; } else { y[at + j] = value; }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles_n = (params.N + 3u) / 4u;
  let tile = flat_index(wg, grid, lane, WG);
  let m = tile / tiles_n * 4u;
  let n = tile % tiles_n * 4u;
  if (m >= params.M) { return; }
  // the last rows of a short tile are read twice and stored once
  let m1 = min(m + 1u, params.M - 1u);
  let m2 = min(m + 2u, params.M - 1u);
  let m3 = min(m + 3u, params.M - 1u);
  let n1 = min(n + 1u, params.N - 1u);
  let n2 = min(n + 2u, params.N - 1u);
  let n3 = min(n + 3u, params.N - 1u);
  var y0 = vec4f();
  var y1 = vec4f();
  var y2 = vec4f();
  var y3 = vec4f();
  for (var k = 0u; k < params.K; k += 4u) {
    let w0 = load_w(n, k);
    let w1 = load_w(n1, k);
    let w2 = load_w(n2, k);
    let w3 = load_w(n3, k);
    let a0 = load_x(m, k);
    let a1 = load_x(m1, k);
    let a2 = load_x(m2, k);
    let a3 = load_x(m3, k);
    y0 += vec4f(dot(a0, w0), dot(a0, w1), dot(a0, w2), dot(a0, w3));
    y1 += vec4f(dot(a1, w0), dot(a1, w1), dot(a1, w2), dot(a1, w3));
    y2 += vec4f(dot(a2, w0), dot(a2, w1), dot(a2, w2), dot(a2, w3));
    y3 += vec4f(dot(a3, w0), dot(a3, w1), dot(a3, w2), dot(a3, w3));
  }
  @if(F16) let bits = select(0u, FLAG_INPUT, beyond_f16(seen_x)) | select(0u, FLAG_WEIGHT, beyond_f16(seen_w));
  @if(F16) if (bits != 0u) { atomicOr(&flags, bits); }
  store(m, n, y0);
  store(m + 1u, n, y1);
  store(m + 2u, n, y2);
  store(m + 3u, n, y3);
}
