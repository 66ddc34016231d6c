import package::lib::decode_scores::{ KEY_LANES, PARTS, QUERY, RUN, RUNS, STEPS, places, score_run, sum_parts, vectors };
import package::lib::decode_span::{ span_part, span_start };
import package::lib::decode_team::{ TEAM_LANES, decode_team_max, decode_team_sum };
import package::lib::grid::flat_index;
import constants::{ CHUNK, D4, HEADS, SPLITS, TEAM };

// attention_decode: o = softmax(q . k^T * scale, the last `window` keys up to the query) . v from a paged cache, kept online; every
// key and value is read once for all HEADS query heads that share it
//
//   q      (B*S, H*D)   f32  in
//   k, v   (rows, K*D)  f32  in    rows of a cache (lib/cursor.wgsl), where query t stands so much after the cursor's
//   o      (B*S, H*D)   f32  out   SPLIT: (B*S, H, SPLITS, D), not yet divided; attention_combine.wgsl adds them up
//   lse    (B*S, H)     f32  out   SPLIT: stats (B*S, H, SPLITS) vec2f: the peak and the denominator of a part
//   cursor (B) vec4u, pages (B, PAGES) u32  in
//
// Grid: a workgroup of 128 per (query, HEADS heads, part of its keys). Scores: eight lanes share a key and read 128 bytes of it side by
// side, RUN keys at once. Sums: D4 lanes share a value, four at once.
// Sums in f32: of a score over lanes, of o by lanes of keys; in a fixed order: bit-repeatable.
// Host: src/kernels/attention-decode.ts   Reference: test/ref/attention.ts

const MASKED: f32 = -3.0e38; // finite: no NaN from inf - inf
const OWN = CHUNK / TEAM; // scores of a lane
const GROUPS = TEAM_LANES / D4; // values that the workgroup adds up side by side

// window: keys that a query sees at most, itself among them
struct Params { B: u32, S: u32, H: u32, K: u32, window: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4f>;
@if(SPLIT) @group(0) @binding(5) var<storage, read_write> stats: array<vec2f>;
@if(!SPLIT) @group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<storage, read> cursor: array<vec4u>;
@group(0) @binding(7) var<storage, read> pages: array<u32>;

var<workgroup> weights: array<f32, CHUNK * HEADS>;
var<workgroup> shrinks: array<f32, HEADS>;
var<workgroup> totals: array<f32, HEADS>;

@compute @workgroup_size(TEAM_LANES)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = flat_index(wg, grid, 0u, 1u);
  let groups = params.H / HEADS;
  if (id >= params.B * params.S * groups * SPLITS) { return; }
  let row = id / SPLITS / groups;
  let head = id / SPLITS % groups * HEADS;
  let b = row / params.S;
  let s = cursor[b].x + row % params.S;
  let first = max(s + 1u, params.window) - params.window;
  let start = span_start(s, params.window);
  let share = span_part(start, s);
  let from_ = start + id % SPLITS * share;
  if (from_ > s) { return; }
  let last = min(s, from_ + share - 1u);
  let stride = params.K * D4;
  let from_k = head / (params.H / params.K) * D4;
  for (var i = lane; i < QUERY; i += TEAM_LANES) {
    let d = i % (STEPS * PARTS);
    let a = q[(row * params.H + head + i / (STEPS * PARTS)) * D4 + min(d, D4 - 1u)];
    vectors[i] = select(vec4f(), a, d < D4);
  }
  workgroupBarrier();
  let own = min(lane / TEAM, HEADS - 1u); // the head whose scores are the lane's
  let isOwner = lane < HEADS * TEAM;
  let column = lane % D4;
  let group = lane / D4;
  var acc: array<vec4f, HEADS>;
  var peak = MASKED;
  var total = 0.0;
  for (var base = from_; base <= last; base += CHUNK) {
    @unroll for (var n = 0u; n < RUNS; n++) {
      let run = n * KEY_LANES + lane / PARTS;
      if (base + run * RUN <= last) { score_run(lane, b, from_k, base + run * RUN, last, run); }
    }
    workgroupBarrier();
    var scores: array<f32, OWN>;
    var higher = peak;
    @unroll for (var n = 0u; n < OWN; n++) {
      let key = lane % TEAM + n * TEAM;
      let sum = sum_parts(key, own);
      scores[n] = select(MASKED, sum * params.scale, base + key >= first && base + key <= last);
      higher = max(higher, scores[n]);
    }
    higher = decode_team_max(lane, higher);
    let shrink = exp(peak - higher);
    peak = higher;
    total *= shrink;
    @unroll for (var n = 0u; n < OWN; n++) {
      let p = exp(scores[n] - peak);
      total += p;
      if (isOwner) { weights[own * CHUNK + lane % TEAM + n * TEAM] = p; }
    }
    if (isOwner && lane % TEAM == 0u) { shrinks[own] = shrink; }
    workgroupBarrier();
    @unroll for (var h = 0u; h < HEADS; h++) { acc[h] *= shrinks[h]; }
    if (group < GROUPS) {
      for (var four = group; four < CHUNK / 4u; four += GROUPS) {
        let j = base + 4u * four;
        if (j > last) { break; }
        let at = places[four];
        let v0 = v[at * stride + from_k + column];
        let v1 = v[(at + min(1u, last - j)) * stride + from_k + column];
        let v2 = v[(at + min(2u, last - j)) * stride + from_k + column];
        let v3 = v[(at + min(3u, last - j)) * stride + from_k + column];
        @unroll for (var h = 0u; h < HEADS; h++) {
          let w = h * CHUNK + 4u * four;
          acc[h] += weights[w] * v0 + weights[w + 1u] * v1 + weights[w + 2u] * v2 + weights[w + 3u] * v3;
        }
      }
    }
  }
  workgroupBarrier();
  total = decode_team_sum(lane, total);
  if (isOwner && lane % TEAM == 0u) {
    totals[own] = total;
    @if(SPLIT) stats[(row * params.H + head + own) * SPLITS + id % SPLITS] = vec2f(peak, total);
    @if(!SPLIT) lse[row * params.H + head + own] = peak + log(total);
  }
  @unroll for (var h = 0u; h < HEADS; h++) {
    workgroupBarrier();
    vectors[lane] = acc[h];
    workgroupBarrier();
    if (lane < D4) {
      var sum = vectors[lane];
      for (var g = 1u; g < GROUPS; g++) { sum += vectors[lane + g * D4]; }
      @if(SPLIT) o[((row * params.H + head + h) * SPLITS + id % SPLITS) * D4 + lane] = sum;
      @if(!SPLIT) o[(row * params.H + head + h) * D4 + lane] = sum / totals[h];
    }
  }
}
