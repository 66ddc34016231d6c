// attention_fwd_subgroup_matrix: attention_fwd on tensor cores, f16 operands and f32 sums, in one pass over the keys.
// Sums in matrices cannot be scaled row by row, so that a row keeps the reference of its exponents until a score is GROWTH
// above it: only then do the sums pass through workgroup memory and are scaled there.
//
//   q   (B*S, H*D)  f16  in
//   k   (B*S, K*D)  f16  in
//   v   (B*S, K*D)  f16  in
//   o   (B*S, H*D)  f32 or f16  out  O_F16
//   lse (B*S, H)    f32  out  of the scaled scores; kept for the backward
//   starts (B*S)    u32  in   PACKED: the first key of the query's document, by its place in the row
//   flags (1)       u32       O_F16: what left f16's range
//
// Grid: a workgroup per (sequence, head, BR queries), the longest rows first; its subgroups as
// lib/attention_matrices.wgsl says. AHEAD: the next keys and values are on their way into registers meanwhile.
// Scores, softmax and sums in f32, weights in f16; without atomics: the same bits on every run.
// Plain WGSL, read by src/gpu/plain-wgsl.ts: the host replaces the constants.
// Host: src/kernels/attention-subgroup-matrix.ts   Reference: test/ref/attention.ts

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
@if(SIZED) enable subgroup_size_control;

@include("lib/attention_matrices.wgsl")
@include("lib/attention_fwd_matrices.wgsl")

const MASKED = -3.0e38; // finite: no NaN from inf - inf
const GROWTH = 8.0; // weights are e^8 at most, which f16 holds with all of its digits

@if(O_F16) alias OfO = vec2u;
@if(!O_F16) alias OfO = vec4f;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4u>;
@group(0) @binding(2) var<storage, read> k: array<vec4u>;
@group(0) @binding(3) var<storage, read> v: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> o: array<OfO>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@if(O_F16) @group(0) @binding(6) var<storage, read_write> flags: atomic<u32>;
@if(PACKED) @group(0) @binding(7) var<storage, read> starts: array<u32>;

fn first_key(b: u32, s: u32) -> u32 {
  var first = max(s + 1u, params.window) - params.window;
  @if(PACKED) first = max(first, starts[b * params.S + min(s, params.S - 1u)]);
  return first;
}

@compute @workgroup_size(LANES)
@if(SIZED) @subgroup_size(SG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) in_subgroup: u32,
) {
  let lane = subgroup * SG + in_subgroup;
  let blocks = (params.S + BR - 1u) / BR;
  let flat = wg.x + wg.y * grid.x;
  if (flat >= blocks * params.B * params.H) { return; }
  let s0 = (blocks - 1u - flat % blocks) * BR;
  let h = flat / blocks % params.H;
  let b = flat / blocks / params.H;
  let mine = subgroup / WC * SM; // the subgroup's first row
  let share = subgroup % WC;
  let row = lane / PARTS; // of the softmax
  let part = lane % PARTS;
  let first = first_key(b, s0 + row);
  let begin = first_key(b, s0);
  let end = min(s0 + BR, params.S);
  let keys = (b * params.S * params.K + h / (params.H / params.K)) * D8;
  var left: OwnRows;
  load_own(lane, b, h, s0, mine, &left);
  var k_next: Rows;
  var v_next: Rows;
  fetch_k(lane, keys, begin, &k_next);
  put_k(lane, &k_next);
  @if(AHEAD) fetch_k(lane, keys, begin + BC, &k_next);
  @if(AHEAD) fetch_v(lane, keys, begin, &v_next);
  if (lane == 0u) { growing = 0u; }
  workgroupBarrier();
  var peak = MASKED;
  var total = 0.0;
  var sums: RowOfSums;
  for (var j0 = begin; j0 < end; j0 += BC) {
    scores(mine, share, &left);
    workgroupBarrier();
    @if(!AHEAD) fetch_k(lane, keys, j0 + BC, &k_next);
    @if(!AHEAD) fetch_v(lane, keys, j0, &v_next);
    put_k(lane, &k_next);
    put_v(lane, &v_next);
    @if(AHEAD) fetch_k(lane, keys, j0 + 2u * BC, &k_next);
    @if(AHEAD) fetch_v(lane, keys, j0 + BC, &v_next);
    var x: array<vec4f, MINE>;
    var highest = vec4f(MASKED);
    @unroll for (var i = 0u; i < MINE; i++) {
      let c = vector_of_scores(part, i);
      let j = four_from(j0 + c * 4u);
      let live = (vec4u(first) <= j) & (j <= vec4u(s0 + row));
      x[i] = select(vec4f(MASKED), s_tile[row * S_ROW + c] * params.scale, live);
      highest = max(highest, x[i]);
    }
    let block_peak = of_row(max(max(highest.x, highest.y), max(highest.z, highest.w)));
    let grows = block_peak > peak + GROWTH;
    let next = select(peak, block_peak, grows);
    let factor = select(0.0, exp(peak - next), peak > MASKED);
    if (grows && peak > MASKED) { growing = 1u; }
    var weights = vec4f();
    @unroll for (var i = 0u; i < MINE; i++) {
      let p = select(vec4f(), exp(x[i] - next), x[i] > vec4f(MASKED));
      p_tile[row * 2u * P_ROW + vector_of_scores(part, i)] = halves(p);
      weights += p;
    }
    total = total * factor + dot(weights, vec4f(1.0));
    peak = next;
    if (workgroupUniformLoad(&growing) != 0u) {
      scale_sums(mine, share, row, part, factor, &sums);
      if (lane == 0u) { growing = 0u; }
      workgroupBarrier();
    }
    add_weighted(mine, share, &sums);
  }
  total = sum_of_row(total);
  if (part == 0u && s0 + row < params.S) { lse[(b * params.S + s0 + row) * params.H + h] = peak + log(total); }
  workgroupBarrier();
  store_sums(mine, share, row, part, vec3u(b, s0, h), 1.0 / total, &sums);
}
