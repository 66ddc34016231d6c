@if(CURSOR) import package::lib::cursor::cache_row;
import package::lib::grid::flat_index;
import constants::D4;
@if(CURSOR) import constants::PAGES;
@if(CURSOR) import constants::PAGE_TOKENS;

// attention_fwd: o = softmax(q . k^T * scale, the last `window` keys up to the query) . v, kept online; lse = log of the softmax's denominator
//
//   q   (B*S, H*D)   f32  in
//   k   (B*S, K*D)  f32  in   with CURSOR the rows of a cache (lib/cursor.wgsl), where query s stands so much after the cursor's
//   v   (B*S, K*D)  f32  in   likewise
//   o   (B*S, H*D)  f32  out
//   lse (B*S, H)    f32  out  of the scaled scores; kept for the backward
//   starts (B*S)    u32  in   PACKED: the first key of the query's document, by its place in the row
//   cursor (B)      vec4u  in  CURSOR
//   pages (B, PAGES)  u32  in  CURSOR
//
// Grid: one thread per (sequence, head, query), queries side by side; flat. D4 = D/4 and a page's size are compiled in. Four keys a round, so
// that an accumulator is touched once per four, from a multiple of four on with CURSOR, so that a page holds all of them; q is
// read where it lies, which leaves the registers to the accumulators.
// Memory grows with S, not S^2. Sums in f32 in key order: bit-repeatable.
// Host: src/kernels/attention-direct.ts   Reference: test/ref/attention.ts

override WG: u32 = 64u;

const MASKED: f32 = -3.0e38; // finite: no NaN from inf - inf

struct Params {
  B: u32,
  S: u32,
  H: u32,
  K: u32,
  window: u32, // keys that a query sees at most, itself among them
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@if(PACKED) @group(0) @binding(6) var<storage, read> starts: array<u32>;
@if(CURSOR) @group(0) @binding(6) var<storage, read> cursor: array<vec4u>;
@if(CURSOR) @group(0) @binding(7) var<storage, read> pages: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.B * params.S * params.H) { return; }
  let t = i % params.S;
  let h = i / params.S % params.H;
  let b = i / params.S / params.H;
  @if(CURSOR) let s = cursor[b].x + t;
  @if(!CURSOR) let s = t;
  let row = (b * params.S + t) * params.H + h;
  let from_q = row * D4;
  let stride = params.K * D4; // from one key to the next
  @if(CURSOR) let first_k = 0u;
  @if(!CURSOR) let first_k = b * params.S * stride;
  let from_k = first_k + h / (params.H / params.K) * D4;
  var acc: array<vec4f, D4>;
  var peak = MASKED;
  var total = 0.0;
  var first = 0u; // without a window all lanes start at one key: a software driver then loads it once for all
  @if(WINDOW) first = max(s + 1u, params.window) - params.window;
  @if(PACKED) first = max(first, starts[b * params.S + s]);
  @if(CURSOR) let start = first & ~3u;
  @if(!CURSOR) let start = first;
  for (var j = start; j <= s; j += 4u) {
    @if(CURSOR) let at = cache_row(pages[b * PAGES + j / PAGE_TOKENS], j);
    @if(!CURSOR) let at = j;
    let last = s - j;
    let k0 = from_k + at * stride;
    let k1 = from_k + (at + min(1u, last)) * stride;
    let k2 = from_k + (at + min(2u, last)) * stride;
    let k3 = from_k + (at + min(3u, last)) * stride;
    var score = vec4f();
    for (var d = 0u; d < D4; d++) {
      let a = q[from_q + d];
      score += vec4f(dot(a, k[k0 + d]), dot(a, k[k1 + d]), dot(a, k[k2 + d]), dot(a, k[k3 + d]));
    }
    let keys = vec4u(j, j + 1u, j + 2u, j + 3u);
    @if(CURSOR) let seen = (keys <= vec4u(s)) & (keys >= vec4u(first));
    @if(!CURSOR) let seen = keys <= vec4u(s);
    score = select(vec4f(MASKED), score * params.scale, seen);
    let higher = max(max(peak, max(score.x, score.y)), max(score.z, score.w));
    let shrink = exp(peak - higher);
    let p = exp(score - higher);
    total = total * shrink + (p.x + p.y + p.z + p.w);
    peak = higher;
    for (var d = 0u; d < D4; d++) {
      acc[d] = acc[d] * shrink + p.x * v[k0 + d] + p.y * v[k1 + d] + p.z * v[k2 + d] + p.w * v[k3 + d];
    }
  }
  for (var d = 0u; d < D4; d++) { o[from_q + d] = acc[d] / total; }
  lse[row] = peak + log(total);
}
