// attention_fwd_subgroup_matrix: attention_fwd on tensor cores: f16 operands, f32 sums. Sums in matrices cannot be scaled row by row,
// so the keys are gone through twice: for each row's log-sum-exp, then for o += exp(scores - lse) . v
//
//   q   (B*S, H*D)  f32  in   rounded to f16 on its way into workgroup memory, as k and v are
//   k   (B*S, K*D)  f32  in
//   v   (B*S, K*D)  f32  in
//   o   (B*S, H*D)  f32  out
//   lse (B*S, H)    f32  out  of the scaled scores; kept for the backward
//   starts (B*S)    u32  in   PACKED: the first key of the query's document, by its place in the row
//   flags (1)       u32       what left f16's range
//
// Grid: a workgroup per (sequence, head, BR queries), the longest rows first; its subgroups as lib/attention_matrices.wgsl says.
// Scores, softmax and sums in f32, weights in f16; without atomics: the same bits on every run.
// Plain WGSL, read by src/gpu/plain-wgsl.ts: the host replaces the constants.
// Host: src/kernels/attention-subgroup-matrix.ts   Reference: test/ref/attention.ts

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
@if(SIZED) enable subgroup_size_control;

@include("lib/attention_matrices.wgsl")

const SETS = 1u; // of staged rows
const MASKED = -3.0e38; // finite: no NaN from inf - inf

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> flags: atomic<u32>;
@if(PACKED) @group(0) @binding(7) var<storage, read> starts: array<u32>;

fn first_key(b: u32, s: u32) -> u32 {
  var first = max(s + 1u, params.window) - params.window;
  @if(PACKED) first = max(first, starts[b * params.S + min(s, params.S - 1u)]);
  return first;
}

const Q = 0u;
const K = 1u;
const V = 2u;
// BC rows of one of the inputs from token s0 on, zeros past the last
fn stage(which: u32, lane: u32, b: u32, h: u32, s0: u32) {
  for (var i = lane; i < BC * D4; i += LANES) {
    let s = s0 + i / D4;
    var x = vec4f();
    if (s < params.S) {
      let token = b * params.S + s;
      let key = (token * params.K + h / (params.H / params.K)) * D4 + i % D4;
      if (which == Q) { x = q[(token * params.H + h) * D4 + i % D4]; } else if (which == K) { x = k[key]; } else { x = v[key]; }
    }
    tile[i / D4 * ROW + i % D4] = half(x);
  }
}

@compute @workgroup_size(LANES)
@if(SIZED) @subgroup_size(SG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32) {
  let blocks = (params.S + BR - 1u) / BR;
  let flat = wg.x + wg.y * grid.x;
  if (flat >= blocks * params.B * params.H) { return; }
  let s0 = (blocks - 1u - flat % blocks) * BR;
  let h = flat / blocks % params.H;
  let b = flat / blocks / params.H;
  let mine = subgroup / WC * SM; // the subgroup's first row
  let share = subgroup % WC;
  let row = lane / PARTS; // of the softmax
  let first = first_key(b, s0 + row);
  let end = min(s0 + BR, params.S);
  var left: array<Left, DEPTH>;
  for (var r = 0u; r < BR; r += BC) {
    stage(Q, lane, b, h, s0 + r);
    workgroupBarrier();
    if (mine >= r && mine < r + BC) { load_left((mine - r) * ROW, &left); }
    workgroupBarrier();
  }
  var peak = MASKED;
  var total = 0.0;
  var log_sum = 0.0;
  var sums: array<Sums, SUMS>;
  for (var turn = 0u; turn < 2u; turn++) {
    for (var j0 = first_key(b, s0); j0 < end; j0 += BC) {
      stage(K, lane, b, h, j0);
      workgroupBarrier();
      scores(&left, 0u, mine, share);
      workgroupBarrier();
      for (var c = lane % PARTS; c < BC4; c += PARTS) {
        let j = vec4u(j0 + c * 4u) + vec4u(0u, 1u, 2u, 3u);
        let live = (vec4u(first) <= j) & (j <= vec4u(s0 + row));
        let x = s_tile[row * S_ROW + c] * params.scale;
        if (turn == 0u) {
          let seen_scores = select(vec4f(MASKED), x, live);
          let higher = max(max(peak, max(seen_scores.x, seen_scores.y)), max(seen_scores.z, seen_scores.w));
          total = total * exp(peak - higher) + dot(select(vec4f(), exp(x - higher), live), vec4f(1.0));
          peak = higher;
        } else {
          p_tile[row * P_ROW + c] = vec4<f16>(select(vec4f(), exp(x - log_sum), live));
        }
      }
      if (turn == 1u) { stage(V, lane, b, h, j0); }
      workgroupBarrier();
      if (turn == 1u) {
        add_weighted(0u, mine, share, &sums);
        workgroupBarrier();
      }
    }
    if (turn == 0u) {
      s_tile[lane] = vec4f(peak, total, 0.0, 0.0);
      workgroupBarrier();
      for (var i = row * PARTS; i < (row + 1u) * PARTS; i++) { peak = max(peak, s_tile[i].x); }
      total = 0.0;
      for (var i = row * PARTS; i < (row + 1u) * PARTS; i++) { total += s_tile[i].y * exp(s_tile[i].x - peak); }
      log_sum = peak + log(total);
      if (lane % PARTS == 0u && s0 + row < params.S) { lse[(b * params.S + s0 + row) * params.H + h] = log_sum; }
      workgroupBarrier();
    }
  }
  if (any(seen > vec4u(0x477fe000u))) { atomicOr(&flags, 1u); }
  for (var from_n = 0u; from_n < SUMS; from_n += SCORES) {
    put_sums(&sums, from_n, mine, share);
    workgroupBarrier();
    for (var i = lane; i < BR * BC4; i += LANES) {
      let s = s0 + i / BC4;
      let d = vector_of(i % BC4, from_n);
      if (s < params.S && d < D4) { o[((b * params.S + s) * params.H + h) * D4 + d] = s_tile[i / BC4 * S_ROW + i % BC4]; }
    }
    workgroupBarrier();
  }
}
