import package::lib::attention_tile::{ add_weighted, put_block, put_value, put_weights, scores, stage };
import package::lib::attention_tile::{ BLOCK_LOADS, BLOCKS, COLS, LANES, ROWS, SUMS, VALUE_LOADS, WIDE };
import constants::{ BR, BC, DK, VK, D4 };

// attention_fwd_simt: attention_fwd by blocks: BR queries against BC keys at a time, both staged in workgroup memory;
// kept online
//
//   q   (B*S, H*D)  f32  in
//   k   (B*S, K*D)  f32  in
//   v   (B*S, K*D)  f32  in
//   o   (B*S, H*D)  f32  out
//   lse (B*S, H)    f32  out  of the scaled scores; kept for the backward
//   starts (B*S)    u32  in   PACKED: the first key of the query's document, by its place in the row
//
// Grid: a workgroup per (sequence, head, BR queries), the longest rows first; a thread per 4 x 4 scores
// (lib/attention_tile.wgsl).
// Blocks after the diagonal and before the window or the document are never touched.
// Sums in f32, within a thread in key order, then across threads in order: bit-repeatable.
// Host: src/kernels/attention-simt.ts   Reference: test/ref/attention.ts

const MASKED: f32 = -3.0e38; // finite: no NaN from inf - inf

// window: keys that a query sees at most, itself among them
struct Params { B: u32, S: u32, H: u32, K: u32, window: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@if(PACKED) @group(0) @binding(6) var<storage, read> starts: array<u32>;

fn first_key(b: u32, s: u32) -> u32 {
  var first = max(s + 1u, params.window) - params.window;
  @if(PACKED) first = max(first, starts[b * params.S + min(s, params.S - 1u)]);
  return first;
}

// vector d of the head dim; zeros past the last token and vector, without a branch: loads do not wait for each other
fn load_q(b: u32, h: u32, s: u32, d: u32) -> vec4f {
  let x = q[((b * params.S + min(s, params.S - 1u)) * params.H + h) * D4 + min(d, D4 - 1u)];
  return select(vec4f(), x, s < params.S && d < D4);
}
fn load_k(b: u32, kv: u32, s: u32, d: u32) -> vec4f {
  let x = k[((b * params.S + min(s, params.S - 1u)) * params.K + kv) * D4 + min(d, D4 - 1u)];
  return select(vec4f(), x, s < params.S && d < D4);
}

// DK of the head dim from vector d on, of the queries from s and the keys from j
fn stage_scores(lane: u32, b: u32, h: u32, s: u32, j: u32, d: u32) {
  let kv = h / (params.H / params.K);
  @unroll for (var n = 0u; n < BLOCK_LOADS; n++) {
    let i = lane + n * LANES;
    let group = i / (DK / 4u);
    let at = d + i % (DK / 4u);
    var rows: mat4x4f;
    if (group < ROWS) {
      @unroll for (var r = 0u; r < 4u; r++) { rows[r] = load_q(b, h, s + group * 4u + r, at); }
    } else if (i < BLOCKS) {
      @unroll for (var r = 0u; r < 4u; r++) { rows[r] = load_k(b, kv, j + (group - ROWS) * 4u + r, at); }
    }
    if (i < BLOCKS) { put_block(group, i % (DK / 4u) * 4u, rows); }
  }
}

fn stage_values(lane: u32, b: u32, h: u32, j: u32) {
  let kv = h / (params.H / params.K);
  var values: array<vec4f, VALUE_LOADS>;
  @unroll for (var n = 0u; n < VALUE_LOADS; n++) {
    let i = lane + n * LANES;
    let s = j + i / D4;
    let x = v[((b * params.S + min(s, params.S - 1u)) * params.K + kv) * D4 + i % D4];
    values[n] = select(vec4f(), x, s < params.S);
  }
  @unroll for (var n = 0u; n < VALUE_LOADS; n++) { put_value(lane + n * LANES, values[n]); }
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32
) {
  let blocks = (params.S + BR - 1u) / BR;
  let flat = wg.x + wg.y * grid.x;
  if (flat >= blocks * params.B * params.H) { return; }
  let s0 = (blocks - 1u - flat % blocks) * BR;
  let h = flat / blocks % params.H;
  let b = flat / blocks / params.H;
  let ty = lane % ROWS;
  let tx = lane / ROWS;
  let row = s0 + ty * 4u;
  let first = vec4u(first_key(b, row), first_key(b, row + 1u), first_key(b, row + 2u), first_key(b, row + 3u));
  let last = vec4u(row, row + 1u, row + 2u, row + 3u);
  let end = min(s0 + BR, params.S);
  var acc: array<vec4f, SUMS>;
  var peak = vec4f(MASKED);
  var total = vec4f();
  for (var j0 = first_key(b, s0); j0 < end; j0 += BC) {
    // said: with `var p: array<vec4f, 4>;` Dawn 0.6.2 kept the last round's values on SwiftShader
    var p = array<vec4f, 4>();
    for (var d = 0u; d < D4; d += DK / 4u) {
      stage_scores(lane, b, h, s0, j0, d);
      workgroupBarrier();
      scores(tx, ty, &p);
      workgroupBarrier();
    }
    var higher = peak;
    @unroll for (var c = 0u; c < 4u; c++) {
      let j = vec4u(j0 + tx * 4u + c);
      p[c] = select(vec4f(MASKED), p[c] * params.scale, (first <= j) & (j <= last));
      higher = max(higher, p[c]);
    }
    stage[lane] = higher;
    workgroupBarrier();
    for (var x = 0u; x < COLS; x++) { higher = max(higher, stage[x * ROWS + ty]); }
    let shrink = exp(peak - higher);
    total *= shrink;
    @unroll for (var c = 0u; c < 4u; c++) {
      // a row of which nothing is seen yet has its peak at MASKED
      p[c] = select(exp(p[c] - higher), vec4f(), p[c] == vec4f(MASKED));
      total += p[c];
    }
    peak = higher;
    @unroll for (var c = 0u; c < WIDE; c++) {
      @unroll for (var r = 0u; r < 4u; r++) { acc[c * 4u + r] *= shrink[r]; }
    }
    put_weights(tx, ty, p);
    let cols = min(BC, end - j0);
    for (var j = 0u; j < cols; j += VK) {
      workgroupBarrier();
      stage_values(lane, b, h, j0 + j);
      workgroupBarrier();
      add_weighted(tx, ty, j, &acc);
    }
    workgroupBarrier();
  }
  stage[lane] = total;
  workgroupBarrier();
  total = vec4f();
  for (var x = 0u; x < COLS; x++) { total += stage[x * ROWS + ty]; }
  @unroll for (var r = 0u; r < 4u; r++) {
    if (row + r < params.S) {
      let at = (b * params.S + row + r) * params.H + h;
      @unroll for (var c = 0u; c < WIDE; c++) {
        if (tx + c * COLS < D4) { o[at * D4 + tx + c * COLS] = acc[c * 4u + r] / total[r]; }
      }
      if (tx == 0u) { lse[at] = peak[r] + log(total[r]); }
    }
  }
}
