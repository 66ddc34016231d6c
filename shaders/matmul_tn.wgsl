import package::lib::grid::flat_index;
// matmul_tn: y[n, k] (+)= scale * sum_m d[m, n] * x[m, k]
//
//   d (M, N)  f32  in   rows of ldd elements, columns from col0
//   x (M, K)  f32  in
//   y (N, K)  f32  out
//
// Grid: one thread per 4 x 4 tile of y, tiles of one row of tiles side by side along K.
// Sums in f32 along m in order; the result is the same bits on every run.
// Host: src/kernels/matmul-direct.ts   Reference: test/ref/linear.ts

override WG: u32 = 64u;

struct Params {
  M: u32,
  N: u32,
  K: u32,
  ldd: u32,
  col0: u32,
  scale: f32,
  accumulate: u32, // 1: add to y
}

@group(0) @binding(0) var<uniform> params: Params;
@if(ROWS4) @group(0) @binding(1) var<storage, read> d: array<vec4f>;
@if(!ROWS4) @group(0) @binding(1) var<storage, read> d: array<f32>;
@if(VEC4) @group(0) @binding(2) var<storage, read> x: array<vec4f>;
@if(!VEC4) @group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@if(VEC4) fn load_x(m: u32, k: u32) -> vec4f { return x[(m * params.K + k) / 4u]; }
@if(!VEC4) fn load_x1(m: u32, k: u32) -> f32 { return x[m * params.K + min(k, params.K - 1u)]; }
@if(!VEC4) fn load_x(m: u32, k: u32) -> vec4f {
  return vec4f(load_x1(m, k), load_x1(m, k + 1u), load_x1(m, k + 2u), load_x1(m, k + 3u));
}

fn store(n: u32, k: u32, sums: vec4f) {
  if (n >= params.N) { return; }
  let at = n * params.K + k;
  for (var j = 0u; j < 4u && k + j < params.K; j++) {
    let value = sums[j] * params.scale;
    if (params.accumulate == 1u) { y[at + j] += value; } else { y[at + j] = value; }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles_k = (params.K + 3u) / 4u;
  let tile = flat_index(wg, grid, lane, WG);
  let n = tile / tiles_k * 4u;
  let k = tile % tiles_k * 4u;
  if (n >= params.N) { return; }
  @if(!ROWS4) let n1 = min(n + 1u, params.N - 1u);
  @if(!ROWS4) let n2 = min(n + 2u, params.N - 1u);
  @if(!ROWS4) let n3 = min(n + 3u, params.N - 1u);
  var y0 = vec4f();
  var y1 = vec4f();
  var y2 = vec4f();
  var y3 = vec4f();
  for (var m = 0u; m < params.M; m++) {
    let b = load_x(m, k);
    let row = m * params.ldd + params.col0;
    // ROWS4: N, ldd and col0 are multiples of 4
    @if(ROWS4) let a = d[(row + n) / 4u];
    @if(!ROWS4) let a = vec4f(d[row + n], d[row + n1], d[row + n2], d[row + n3]);
    y0 += a.x * b;
    y1 += a.y * b;
    y2 += a.z * b;
    y3 += a.w * b;
  }
  store(n, k, y0);
  store(n + 1u, k, y1);
  store(n + 2u, k, y2);
  store(n + 3u, k, y3);
}
