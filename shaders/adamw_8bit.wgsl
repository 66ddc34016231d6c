import package::lib::grid::flat_index;
import package::lib::step::Step;
@if(SHARED_ROW) import package::lib::team::{ TEAM, team_max };

// adamw_8bit: adamw with moments that lie in 8 bits: a code and, for each block of 256, the largest magnitude it is scaled by.
// Both moments are decoded, updated, used for p, and encoded again: the nearest value of the map, a tie to the lower one.
//
//   p, g      (n)              f32  in/out  as in adamw
//   m, v      (n)              u8   in/out  codes of the first and second moments, untouched when the gradient is not finite
//   m_absmax, v_absmax (blocks) f32 in/out  largest magnitude of each block
//   metrics   (>= 3)           f32  in      [1] clip coefficient, [2] not finite
//   codes     (512)            f32  in      values of a code of m, then of v, ascending
//
// Grid: one thread per block, with SHARED_ROW one workgroup; flat. n is a multiple of 4, the last block may be short.
// f32 per element: bit-repeatable.
// Host: src/kernels/adamw-8bit.ts   Reference: test/ref/optimizer-8bit.ts

@if(!SHARED_ROW) override WG: u32 = 64u;
@if(SHARED_ROW) const WG = TEAM;
@if(!SHARED_ROW) const STRIDE = 1u;
@if(SHARED_ROW) const STRIDE = TEAM;

const VECTORS = 64u; // vectors in a block
const OF_V = 256u; // where the codes of v begin
const SMALLEST = 1.17549435e-38; // below it 1 / x may be infinite: the block counts as zeros

struct Params {
  vectors: u32, // elements / 4
  beta1: f32,
  beta2: f32,
  one_minus_beta1: f32,
  one_minus_beta2: f32,
  eps: f32,
  weight_decay: f32,
  rate: f32, // factor on the learning rate
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> p: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> g: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> m: array<u32>;
@group(0) @binding(5) var<storage, read_write> m_absmax: array<f32>;
@group(0) @binding(6) var<storage, read_write> v: array<u32>;
@group(0) @binding(7) var<storage, read_write> v_absmax: array<f32>;
@group(0) @binding(8) var<storage, read> metrics: array<f32>;
@group(0) @binding(9) var<storage, read> codes: array<f32>;

struct Moments {
  m: vec4f,
  v: vec4f,
}

fn decoded(at: u32, word: u32) -> vec4f {
  return vec4f(
    codes[at + (word & 255u)],
    codes[at + ((word >> 8u) & 255u)],
    codes[at + ((word >> 16u) & 255u)],
    codes[at + (word >> 24u)],
  );
}

fn nearest(at: u32, x: f32) -> u32 {
  var k = 0u;
  for (var half = 128u; half > 0u; half /= 2u) {
    let below = at + k + half - 1u;
    if (x > (codes[below] + codes[below + 1u]) * 0.5) { k += half; }
  }
  return k;
}

fn encoded(at: u32, x: vec4f) -> u32 {
  return nearest(at, x.x) | (nearest(at, x.y) << 8u) | (nearest(at, x.z) << 16u) | (nearest(at, x.w) << 24u);
}

fn updated(i: u32, absmax: vec2f) -> Moments {
  let d = g[i] * metrics[1];
  return Moments(
    params.beta1 * (decoded(0u, m[i]) * absmax.x) + params.one_minus_beta1 * d,
    params.beta2 * (decoded(OF_V, v[i]) * absmax.y) + params.one_minus_beta2 * d * d,
  );
}

fn largest(x: vec4f) -> f32 { return max(max(abs(x.x), abs(x.y)), max(abs(x.z), abs(x.w))); }
fn inverse(x: f32) -> f32 {
  if (x < SMALLEST) { return 0.0; }
  return 1.0 / x;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  @if(!SHARED_ROW) let block = flat_index(wg, grid, lane, WG);
  @if(SHARED_ROW) let block = flat_index(wg, grid, 0u, 1u);
  @if(!SHARED_ROW) let first = 0u;
  @if(SHARED_ROW) let first = lane;
  let begin = block * VECTORS;
  if (begin >= params.vectors) { return; }
  let end = min(begin + VECTORS, params.vectors);
  if (metrics[2] != 0.0) {
    for (var i = begin + first; i < end; i += STRIDE) { g[i] = vec4f(); }
    return;
  }
  let old = vec2f(m_absmax[block], v_absmax[block]);
  var most = vec2f();
  for (var i = begin + first; i < end; i += STRIDE) {
    let now = updated(i, old);
    most = max(most, vec2f(largest(now.m), largest(now.v)));
  }
  @if(SHARED_ROW) most = team_max(lane, most);
  if (first == 0u) {
    m_absmax[block] = most.x;
    v_absmax[block] = most.y;
  }
  let scale = vec2f(inverse(most.x), inverse(most.y));
  let lr = step.lr * params.rate;
  for (var i = begin + first; i < end; i += STRIDE) {
    let now = updated(i, old);
    m[i] = encoded(0u, now.m * scale.x);
    v[i] = encoded(OF_V, now.v * scale.y);
    g[i] = vec4f();
    p[i] = p[i] * (1.0 - lr * params.weight_decay) - lr / step.bias1 * now.m / (sqrt(now.v) / step.sqrt_bias2 + params.eps);
  }
}
