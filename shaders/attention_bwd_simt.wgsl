import package::lib::attention_bwd_loads::load;
import package::lib::attention_tile::{ add_weighted, put_block, put_value, put_weights, scores };
import package::lib::attention_tile::{ BLOCK_LOADS, BLOCKS, COLS, LANES, ROWS, SUMS, VALUE_LOADS, WIDE };
import constants::{ BR, BC, DK, VK, D4 };

// attention_bwd_simt: attention_bwd_dq by blocks of BR queries (its own rows) against BC keys (the others) at a time;
// with BY_KEY attention_bwd_dkv, by blocks of BR keys against BC queries of each head of the group
//
//   q, dO      (B*S, H*D)  f32  in
//   k, v       (B*S, K*D)  f32  in
//   lse, delta (B*S, H)    f32  in
//   dq         (B*S, H*D)  f32  out
//   dk, dv     (B*S, K*D)  f32  out  BY_KEY
//   starts     (B*S)       u32  in   PACKED: the first key of the query's document, by its place in the row
//   ends       (B*S)       u32  in   BY_KEY, PACKED: past the last query of the key's document
//
// Grid: a workgroup per (sequence, head, BR rows), the longest first; a thread per 4 x 4 scores
// (lib/attention_tile.wgsl).
// Sums in f32, by head, then in order of the others, without atomics: bit-repeatable.
// Host: src/kernels/attention-simt.ts   Reference: test/ref/attention.ts

// window: keys that a query sees at most, itself among them
struct Params { B: u32, S: u32, H: u32, K: u32, window: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> dO: array<vec4f>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> delta: array<f32>;
@if(!BY_KEY) @group(0) @binding(7) var<storage, read_write> dq: array<vec4f>;
@if(!BY_KEY && PACKED) @group(0) @binding(8) var<storage, read> starts: array<u32>;
@if(BY_KEY) @group(0) @binding(7) var<storage, read_write> dk: array<vec4f>;
@if(BY_KEY) @group(0) @binding(8) var<storage, read_write> dv: array<vec4f>;
@if(BY_KEY && PACKED) @group(0) @binding(9) var<storage, read> ends: array<u32>;

// The others that a row meets, from .x to before .y: a query's keys, a key's queries. Neither end falls along the rows.
fn others_of(b: u32, row: u32) -> vec2u {
  let s = min(row, params.S - 1u);
  @if(!BY_KEY) var range = vec2u(max(s + 1u, params.window) - params.window, s + 1u);
  @if(!BY_KEY && PACKED) range.x = max(range.x, starts[b * params.S + s]);
  @if(BY_KEY) var range = vec2u(s, min(params.S, s + params.window));
  @if(BY_KEY && PACKED) range.y = min(range.y, ends[b * params.S + s]);
  return range;
}

// q . k, or as the second product dO . v, of the own rows from r0 with the others from c0
fn product(second: bool, lane: u32, b: u32, h: u32, r0: u32, c0: u32) -> array<vec4f, 4> {
  var sums = array<vec4f, 4>();
  for (var d = 0u; d < D4; d += DK / 4u) {
    workgroupBarrier();
    @unroll for (var n = 0u; n < BLOCK_LOADS; n++) {
      let i = lane + n * LANES;
      let at = d + i % (DK / 4u);
      let group = i / (DK / 4u);
      var rows: mat4x4f;
      if (group < ROWS) {
        @unroll for (var r = 0u; r < 4u; r++) { rows[r] = load(true, second, b, h, r0 + group * 4u + r, at); }
      } else if (i < BLOCKS) {
        @unroll for (var r = 0u; r < 4u; r++) { rows[r] = load(false, second, b, h, c0 + (group - ROWS) * 4u + r, at); }
      }
      if (i < BLOCKS) { put_block(group, i % (DK / 4u) * 4u, rows); }
    }
    workgroupBarrier();
    scores(lane / ROWS, lane % ROWS, &sums);
  }
  return sums;
}

// sums += values . (the others' k or q, or as the second v or dO)
fn add_product(
  second: bool, lane: u32, b: u32, h: u32, c0: u32, c_end: u32, values: array<vec4f, 4>,
  sums: ptr<function, array<vec4f, SUMS>>,
) {
  workgroupBarrier();
  put_weights(lane / ROWS, lane % ROWS, values);
  let cols = min(BC, c_end - c0);
  for (var j = 0u; j < cols; j += VK) {
    workgroupBarrier();
    var others: array<vec4f, VALUE_LOADS>;
    @unroll for (var n = 0u; n < VALUE_LOADS; n++) {
      let i = lane + n * LANES;
      let s = c0 + j + i / D4; // zeros past the last: 0 times another document's NaN is NaN
      others[n] = load(false, second, b, h, select(params.S, s, s < c_end), i % D4);
    }
    @unroll for (var n = 0u; n < VALUE_LOADS; n++) { put_value(lane + n * LANES, others[n]); }
    workgroupBarrier();
    add_weighted(lane / ROWS, lane % ROWS, j, sums);
  }
}

// where lse and delta have queries
fn query_at(b: u32, h: u32, s: vec4u) -> vec4u {
  return (b * params.S + min(s, vec4u(params.S - 1u))) * params.H + h;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32
) {
  let blocks = (params.S + BR - 1u) / BR;
  let flat = wg.x + wg.y * grid.x;
  @if(BY_KEY) let heads = params.K;
  @if(!BY_KEY) let heads = params.H;
  if (flat >= blocks * params.B * heads) { return; }
  @if(BY_KEY) let r0 = flat % blocks * BR;
  @if(!BY_KEY) let r0 = (blocks - 1u - flat % blocks) * BR;
  let head = flat / blocks % heads;
  let b = flat / blocks / heads;
  let row = r0 + lane % ROWS * 4u;
  var low: vec4u;
  var high: vec4u;
  @unroll for (var r = 0u; r < 4u; r++) { let range = others_of(b, row + r); low[r] = range.x; high[r] = range.y; }
  high = select(vec4u(), high, vec4u(row, row + 1u, row + 2u, row + 3u) < vec4u(params.S));
  let from_c = others_of(b, r0).x;
  let c_end = others_of(b, r0 + BR - 1u).y;
  @if(BY_KEY) let group = params.H / params.K;
  @if(!BY_KEY) let group = 1u;
  var acc: array<vec4f, SUMS>;
  @if(BY_KEY) var acc_v: array<vec4f, SUMS>;
  for (var h = head * group; h < (head + 1u) * group; h++) {
    for (var c0 = from_c; c0 < c_end; c0 += BC) {
      var p = product(false, lane, b, h, r0, c0);
      var ds = product(true, lane, b, h, r0, c0);
      @unroll for (var c = 0u; c < 4u; c++) {
        let col = c0 + lane / ROWS * 4u + c;
        let live = (low <= vec4u(col)) & (vec4u(col) < high);
        @if(BY_KEY) let at = query_at(b, h, vec4u(col));
        @if(!BY_KEY) let at = query_at(b, h, vec4u(row, row + 1u, row + 2u, row + 3u));
        let logs = vec4f(lse[at.x], lse[at.y], lse[at.z], lse[at.w]);
        let deltas = vec4f(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);
        p[c] = select(vec4f(), exp(p[c] * params.scale - logs), live);
        ds[c] = select(vec4f(), p[c] * (ds[c] - deltas) * params.scale, live);
      }
      @if(BY_KEY) add_product(true, lane, b, h, c0, c_end, p, &acc_v);
      add_product(false, lane, b, h, c0, c_end, ds, &acc);
    }
  }
  @unroll for (var r = 0u; r < 4u; r++) {
    let at = ((b * params.S + row + r) * heads + head) * D4 + lane / ROWS;
    @unroll for (var c = 0u; c < WIDE; c++) {
      if (row + r < params.S && lane / ROWS + c * COLS < D4) {
        @if(!BY_KEY) dq[at + c * COLS] = acc[c * 4u + r];
        @if(BY_KEY) dk[at + c * COLS] = acc[c * 4u + r];
        @if(BY_KEY) dv[at + c * COLS] = acc_v[c * 4u + r];
      }
    }
  }
}
