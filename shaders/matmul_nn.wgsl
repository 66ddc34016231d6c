import package::lib::flags::{ beyond_f16, magnitude4, FLAG_INPUT, FLAG_WEIGHT };
import package::lib::grid::flat_index;
// matmul_nn: y[m, k] (+)= scale * sum_n x[m, n] * w[n, k]
//
//   x (M, N)  f32         in   rows of ldx elements, columns from col0
//   w (N, K)  f32 or f16  in   F16: x passes through f16 as it is loaded (lavapipe 25 drops that rounding)
//   y (M, K)  f32         out
//
// Grid: one thread per 4 x 4 tile of y, tiles of one row of tiles side by side along K.
// Sums in f32 along n in order; the result is the same bits on every run.
// Host: src/kernels/matmul-direct.ts   Reference: test/ref/linear.ts

@if(F16) enable f16;

override WG: u32 = 64u;

struct Params {
  M: u32,
  N: u32,
  K: u32,
  ldx: u32,
  col0: u32,
  scale: f32,
  accumulate: u32, // 1: add to y
}

@group(0) @binding(0) var<uniform> params: Params;
@if(DEPTH4) @group(0) @binding(1) var<storage, read> x: array<vec4f>;
@if(!DEPTH4) @group(0) @binding(1) var<storage, read> x: array<f32>;
@if(VEC4 && F16) @group(0) @binding(2) var<storage, read> w: array<vec4<f16>>;
@if(VEC4 && !F16) @group(0) @binding(2) var<storage, read> w: array<vec4f>;
@if(!VEC4 && F16) @group(0) @binding(2) var<storage, read> w: array<f16>;
@if(!VEC4 && !F16) @group(0) @binding(2) var<storage, read> w: array<f32>;
@if(VEC4) @group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@if(!VEC4) @group(0) @binding(3) var<storage, read_write> y: array<f32>;
@if(F16) @group(0) @binding(4) var<storage, read_write> flags: atomic<u32>; // what left f16's range

// the largest magnitudes that became operands
@if(F16) var<private> seen_x: vec4u;
@if(F16) var<private> seen_w: vec4u;

// with DEPTH4 four terms of the sum are taken at once: N, ldx and col0 are multiples of 4
@if(DEPTH4) fn load_x4(m: u32, n: u32) -> vec4f {
  let v = x[(m * params.ldx + params.col0 + n) / 4u];
  @if(F16) seen_x = max(seen_x, magnitude4(v));
  @if(F16) return vec4f(vec4<f16>(v));
  @if(!F16) return v;
}
@if(!DEPTH4) fn load_x(m: u32, n: u32) -> f32 {
  let v = x[m * params.ldx + params.col0 + n];
  @if(F16) seen_x = max(seen_x, magnitude4(vec4f(v)));
  @if(F16) return f32(f16(v));
  @if(!F16) return v;
}

@if(VEC4) fn raw_w(n: u32, k: u32) -> vec4f { return vec4f(w[(n * params.K + k) / 4u]); }
@if(!VEC4) fn load_w1(n: u32, k: u32) -> f32 { return f32(w[n * params.K + min(k, params.K - 1u)]); }
@if(!VEC4) fn raw_w(n: u32, k: u32) -> vec4f {
  return vec4f(load_w1(n, k), load_w1(n, k + 1u), load_w1(n, k + 2u), load_w1(n, k + 3u));
}
fn load_w(n: u32, k: u32) -> vec4f {
  let v = raw_w(n, k);
  @if(F16) seen_w = max(seen_w, magnitude4(v));
  return v;
}

@if(VEC4) fn store(m: u32, k: u32, sums: vec4f) {
  if (m >= params.M) { return; }
  let at = (m * params.K + k) / 4u;
  if (params.accumulate == 1u) { y[at] += sums * params.scale; } else { y[at] = sums * params.scale; }
}
@if(!VEC4) fn store(m: u32, k: u32, sums: vec4f) {
  if (m >= params.M) { return; }
  let at = m * params.K + k;
  for (var j = 0u; j < 4u && k + j < params.K; j++) {
    let value = sums[j] * params.scale;
    if (params.accumulate == 1u) { y[at + j] += value; } else { y[at + j] = value; }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles_k = (params.K + 3u) / 4u;
  let tile = flat_index(wg, grid, lane, WG);
  let m = tile / tiles_k * 4u;
  let k = tile % tiles_k * 4u;
  if (m >= params.M) { return; }
  let m1 = min(m + 1u, params.M - 1u);
  let m2 = min(m + 2u, params.M - 1u);
  let m3 = min(m + 3u, params.M - 1u);
  var y0 = vec4f();
  var y1 = vec4f();
  var y2 = vec4f();
  var y3 = vec4f();
  @if(DEPTH4) for (var n = 0u; n < params.N; n += 4u) {
    let b0 = load_w(n, k);
    let b1 = load_w(n + 1u, k);
    let b2 = load_w(n + 2u, k);
    let b3 = load_w(n + 3u, k);
    let a0 = load_x4(m, n);
    let a1 = load_x4(m1, n);
    let a2 = load_x4(m2, n);
    let a3 = load_x4(m3, n);
    y0 += a0.x * b0 + a0.y * b1 + a0.z * b2 + a0.w * b3;
    y1 += a1.x * b0 + a1.y * b1 + a1.z * b2 + a1.w * b3;
    y2 += a2.x * b0 + a2.y * b1 + a2.z * b2 + a2.w * b3;
    y3 += a3.x * b0 + a3.y * b1 + a3.z * b2 + a3.w * b3;
  }
  @if(!DEPTH4) for (var n = 0u; n < params.N; n++) {
    let b = load_w(n, k);
    y0 += load_x(m, n) * b;
    y1 += load_x(m1, n) * b;
    y2 += load_x(m2, n) * b;
    y3 += load_x(m3, n) * b;
  }
  @if(F16) let bits = select(0u, FLAG_INPUT, beyond_f16(seen_x)) | select(0u, FLAG_WEIGHT, beyond_f16(seen_w));
  @if(F16) if (bits != 0u) { atomicOr(&flags, bits); }
  store(m, k, y0);
  store(m + 1u, k, y1);
  store(m + 2u, k, y2);
  store(m + 3u, k, y3);
}
