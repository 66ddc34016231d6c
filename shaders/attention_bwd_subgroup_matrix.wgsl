// attention_bwd_subgroup_matrix: attention_bwd_dq on tensor cores, by blocks of BR queries (its own rows) against BC keys (the others)
// at a time; with BY_KEY attention_bwd_dkv, by blocks of BR keys against BC queries of each head of the group
//
//   q, dO      (B*S, H*D)  f32  in   rounded to f16 on their way into workgroup memory, as k and v are
//   k, v       (B*S, K*D)  f32  in
//   lse, delta (B*S, H)    f32  in
//   dq         (B*S, H*D)  f32  out
//   dk, dv     (B*S, K*D)  f32  out  BY_KEY
//   starts     (B*S)       u32  in   PACKED: the first key of the query's document, by its place in the row
//   ends       (B*S)       u32  in   BY_KEY, PACKED: past the last query of the key's document
//   flags      (1)         u32       what left f16's range
//
// Grid: a workgroup per (sequence, head, BR rows), the longest first; subgroups as in attention_fwd_subgroup_matrix. p and p * (dO . v -
// delta) are f16 operands; scores, softmax and sums are f32, by head, then in order of the others: the same bits on every run.
// Plain WGSL, read by src/gpu/plain-wgsl.ts: the host replaces the constants.
// Host: src/kernels/attention-subgroup-matrix.ts   Reference: test/ref/attention.ts

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
@if(SIZED) enable subgroup_size_control;

@include("lib/attention_matrices.wgsl")

const SETS = 2u; // of staged rows: q or k, and behind them
const SECOND = BC * ROW; // dO or v
@if(BY_KEY) const BY_KEY = true;
@if(!BY_KEY) const BY_KEY = false;
const MINE = (BC4 + PARTS - 1u) / PARTS; // vectors of scores of a lane

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> dO: array<vec4f>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> flags: atomic<u32>;
@if(!BY_KEY) @group(0) @binding(8) var<storage, read_write> dq: array<vec4f>;
@if(!BY_KEY && PACKED) @group(0) @binding(9) var<storage, read> starts: array<u32>;
@if(BY_KEY) @group(0) @binding(8) var<storage, read_write> dk: array<vec4f>;
@if(BY_KEY) @group(0) @binding(9) var<storage, read_write> dv: array<vec4f>;
@if(BY_KEY && PACKED) @group(0) @binding(10) var<storage, read> ends: array<u32>;

// The others that a row meets, from .x to before .y: of a query its keys, of a key its queries. Neither end falls along a row.
fn others_of(b: u32, row: u32) -> vec2u {
  let s = min(row, params.S - 1u);
  @if(!BY_KEY) var range = vec2u(max(s + 1u, params.window) - params.window, s + 1u);
  @if(!BY_KEY && PACKED) range.x = max(range.x, starts[b * params.S + s]);
  @if(BY_KEY) var range = vec2u(s, min(params.S, s + params.window));
  @if(BY_KEY && PACKED) range.y = min(range.y, ends[b * params.S + s]);
  return range;
}

// BC rows of q and dO, or of k and v, from token s0 on, zeros past the last
fn stage(queries: bool, lane: u32, b: u32, h: u32, s0: u32) {
  for (var i = lane; i < BC * D4; i += LANES) {
    let token = b * params.S + min(s0 + i / D4, params.S - 1u);
    let heads = select(vec2u(params.K, h / (params.H / params.K)), vec2u(params.H, h), queries);
    let at = (token * heads.x + heads.y) * D4 + i % D4;
    var x = vec4f(); var y = vec4f();
    if (s0 + i / D4 < params.S) {
      if (queries) { x = q[at]; y = dO[at]; } else { x = k[at]; y = v[at]; }
    }
    tile[i / D4 * ROW + i % D4] = half(x);
    tile[SECOND + i / D4 * ROW + i % D4] = half(y);
  }
}

@compute @workgroup_size(LANES)
@if(SIZED) @subgroup_size(SG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32) {
  let blocks = (params.S + BR - 1u) / BR;
  let flat = wg.x + wg.y * grid.x;
  let heads = select(params.H, params.K, BY_KEY);
  if (flat >= blocks * params.B * heads) { return; }
  let r0 = select(blocks - 1u - flat % blocks, flat % blocks, BY_KEY) * BR;
  let head = flat / blocks % heads;
  let b = flat / blocks / heads;
  let group = params.H / heads; // heads that an own row meets the others of
  let mine = subgroup / WC * SM; // the subgroup's first row
  let share = subgroup % WC;
  let row = lane / PARTS; // of the scores
  var range = others_of(b, r0 + row);
  if (r0 + row >= params.S) { range = vec2u(); }
  let own = (b * params.S + min(r0 + row, params.S - 1u)) * params.H;
  let from_c = others_of(b, r0).x;
  let c_end = others_of(b, r0 + BR - 1u).y;
  var left: array<Left, DEPTH>;
  var left_2: array<Left, DEPTH>;
  for (var r = 0u; r < BR; r += BC) {
    stage(!BY_KEY, lane, b, head * group, r0 + r);
    workgroupBarrier();
    if (mine >= r && mine < r + BC) { load_left((mine - r) * ROW, &left); }
    if (mine >= r && mine < r + BC) { load_left(SECOND + (mine - r) * ROW, &left_2); }
    workgroupBarrier();
  }
  var sums: array<Sums, SUMS>;
  @if(BY_KEY) var sums_v: array<Sums, SUMS>;
  for (var h = head * group; h < (head + 1u) * group; h++) {
    for (var c0 = from_c; c0 < c_end; c0 += BC) {
      stage(BY_KEY, lane, b, h, c0);
      workgroupBarrier();
      scores(&left, 0u, mine, share);
      workgroupBarrier();
      var p = array<vec4f, MINE>();
      for (var i = 0u; i < MINE; i++) {
        let c = lane % PARTS + i * PARTS;
        if (c >= BC4) { break; }
        let at = vec4u(c0 + c * 4u) + vec4u(0u, 1u, 2u, 3u);
        var logs = vec4f(lse[own + h]);
        @if(BY_KEY) for (var e = 0u; e < 4u; e++) { logs[e] = lse[(b * params.S + min(at[e], params.S - 1u)) * params.H + h]; }
        p[i] = select(vec4f(), exp(s_tile[row * S_ROW + c] * params.scale - logs), (vec4u(range.x) <= at) & (at < vec4u(range.y)));
        @if(BY_KEY) p_tile[row * P_ROW + c] = half(p[i]);
      }
      workgroupBarrier();
      @if(BY_KEY) add_weighted(SECOND, mine, share, &sums_v);
      scores(&left_2, SECOND, mine, share);
      workgroupBarrier();
      for (var i = 0u; i < MINE; i++) {
        let c = lane % PARTS + i * PARTS;
        if (c >= BC4) { break; }
        var deltas = vec4f(delta[own + h]);
        @if(BY_KEY) for (var e = 0u; e < 4u; e++) { deltas[e] = delta[(b * params.S + min(c0 + c * 4u + e, params.S - 1u)) * params.H + h]; }
        p_tile[row * P_ROW + c] = half(select(vec4f(), p[i] * (s_tile[row * S_ROW + c] - deltas), p[i] != vec4f()));
      }
      workgroupBarrier();
      add_weighted(0u, mine, share, &sums);
      workgroupBarrier();
    }
  }
  if (any(seen > vec4u(0x477fe000u))) { atomicOr(&flags, 1u); }
  for (var from_n = 0u; from_n < SUMS; from_n += SCORES) {
    put_sums(&sums, from_n, mine, share);
    workgroupBarrier();
    for (var i = lane; i < BR * BC4; i += LANES) {
      let at = ((b * params.S + r0 + i / BC4) * heads + head) * D4 + vector_of(i % BC4, from_n);
      if (r0 + i / BC4 >= params.S || vector_of(i % BC4, from_n) >= D4) { continue; }
      @if(!BY_KEY) dq[at] = s_tile[i / BC4 * S_ROW + i % BC4] * params.scale;
      @if(BY_KEY) dk[at] = s_tile[i / BC4 * S_ROW + i % BC4] * params.scale;
    }
    workgroupBarrier();
    @if(BY_KEY) put_sums(&sums_v, from_n, mine, share); workgroupBarrier();
    @if(BY_KEY) for (var i = lane; i < BR * BC4; i += LANES) {
    @if(BY_KEY)   let at = ((b * params.S + r0 + i / BC4) * heads + head) * D4 + vector_of(i % BC4, from_n);
    @if(BY_KEY)   if (r0 + i / BC4 < params.S && vector_of(i % BC4, from_n) < D4) { dv[at] = s_tile[i / BC4 * S_ROW + i % BC4]; }
    @if(BY_KEY) }
    @if(BY_KEY) workgroupBarrier();
  }
}
