// attention_bwd_subgroup_matrix: attention_bwd_dq on tensor cores, by blocks of BR queries (its own rows) against BC keys
// (the others) at a time; with BY_KEY attention_bwd_dkv, by blocks of BR keys against BC queries of each head of the group
//
//   q, dO      (B*S, H*D)  f16  in
//   k, v       (B*S, K*D)  f16  in
//   lse, delta (B*S, H)    f32  in
//   dq         (B*S, H*D)  f32  out
//   dk         (B*S, K*D)  f32  out  BY_KEY
//   dv         (B*S, K*D)  f32 or f16  out  BY_KEY, DV_F16
//   starts     (B*S)       u32  in   PACKED: the first key of the query's document, by its place in the row
//   ends       (B*S)       u32  in   BY_KEY, PACKED: past the last query of the key's document
//   flags      (1)         u32       what left f16's range
//
// Grid: a workgroup per (sequence, head, BR rows), the longest first; its subgroups as lib/attention_matrices.wgsl says.
// Its own rows stay in workgroup memory: in registers they would leave room for few workgroups, which hide the loads of one
// another. p and p * (dO . v - delta) are f16 operands; scores, softmax and sums are f32, by head, then in order of the
// others: the same bits on every run.
// Plain WGSL, read by src/gpu/plain-wgsl.ts: the host replaces the constants.
// Host: src/kernels/attention-subgroup-matrix.ts   Reference: test/ref/attention.ts

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
@if(SIZED) enable subgroup_size_control;

@include("lib/attention_matrices.wgsl")
@include("lib/attention_bwd_matrices.wgsl")

@if(DV_F16) alias OfDv = vec2u;
@if(!DV_F16) alias OfDv = vec4f;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4u>;
@group(0) @binding(2) var<storage, read> k: array<vec4u>;
@group(0) @binding(3) var<storage, read> v: array<vec4u>;
@group(0) @binding(4) var<storage, read> dO: array<vec4u>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> flags: atomic<u32>;
@if(!BY_KEY) @group(0) @binding(8) var<storage, read_write> dq: array<vec4f>;
@if(!BY_KEY && PACKED) @group(0) @binding(9) var<storage, read> starts: array<u32>;
@if(BY_KEY) @group(0) @binding(8) var<storage, read_write> dk: array<vec4f>;
@if(BY_KEY) @group(0) @binding(9) var<storage, read_write> dv: array<OfDv>;
@if(BY_KEY && PACKED) @group(0) @binding(10) var<storage, read> ends: array<u32>;

// The others that a row meets, from .x to before .y: of a query its keys, of a key its queries. Neither end falls along a
// row; a row past the last meets none.
fn others_of(b: u32, row: u32) -> vec2u {
  let s = min(row, params.S - 1u);
  @if(!BY_KEY) var range = vec2u(max(s + 1u, params.window) - params.window, s + 1u);
  @if(!BY_KEY && PACKED) range.x = max(range.x, starts[b * params.S + s]);
  @if(BY_KEY) var range = vec2u(s, min(params.S, s + params.window));
  @if(BY_KEY && PACKED) range.y = min(range.y, ends[b * params.S + s]);
  return range;
}

@compute @workgroup_size(LANES)
@if(SIZED) @subgroup_size(SG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let blocks = (params.S + BR - 1u) / BR;
  let flat = wg.x + wg.y * grid.x;
  @if(!BY_KEY) let heads = params.H;
  @if(BY_KEY) let heads = params.K;
  if (flat >= blocks * params.B * heads) { return; }
  @if(!BY_KEY) let r0 = (blocks - 1u - flat % blocks) * BR;
  @if(BY_KEY) let r0 = flat % blocks * BR;
  let head = flat / blocks % heads;
  let b = flat / blocks / heads;
  let mine = subgroup / WC * SM; // the subgroup's first row
  let share = subgroup % WC;
  let row = lane / PARTS; // of the scores
  let part = lane % PARTS;
  let range = select(vec2u(), others_of(b, r0 + row), r0 + row < params.S);
  let from_c = others_of(b, r0).x;
  let c_end = others_of(b, r0 + BR - 1u).y;
  stage_own(lane, b, head, r0);
  var sums: RowOfSums;
  @if(BY_KEY) var sums_v: RowOfSums;
  @if(!BY_KEY) let h = head;
  @if(!BY_KEY) let of_row = (b * params.S + min(r0 + row, params.S - 1u)) * params.H + h;
  @if(!BY_KEY) let own = vec2f(lse[of_row], delta[of_row]);
  @if(BY_KEY) let group = params.H / params.K;
  @if(BY_KEY) for (var h = head * group; h < (head + 1u) * group; h++) {
  for (var c0 = from_c; c0 < c_end; c0 += BC) {
    stage_others(lane, b, h, c0);
    workgroupBarrier();
    products(mine, share);
    workgroupBarrier();
    @unroll for (var i = 0u; i < MINE; i++) {
      let c = vector_of_scores(part, i);
      let at = four_from(c0 + c * 4u);
      let live = (vec4u(range.x) <= at) & (at < vec4u(range.y));
      @if(!BY_KEY) let logs = vec4f(own.x);
      @if(!BY_KEY) let deltas = vec4f(own.y);
      @if(BY_KEY) let of_others = transpose(logs_and_deltas_of(c));
      @if(BY_KEY) let logs = of_others[0];
      @if(BY_KEY) let deltas = of_others[1];
      let p = select(vec4f(), exp(s_tile[row * S_ROW + c] * params.scale - logs), live);
      let ds = select(vec4f(), p * (d_tile[row * S_ROW + c] - deltas), p != vec4f());
      see(ds);
      @if(BY_KEY) p_tile[row * 2u * P_ROW + c] = halves(p);
      ds_tile[row * 2u * P_ROW + c] = halves(ds);
    }
    workgroupBarrier();
    @if(BY_KEY) add_dv(mine, share, &sums_v);
    add_ds(mine, share, &sums);
    workgroupBarrier();
  }
  @if(BY_KEY) }
  @unroll for (var from_n = 0u; from_n < SUMS; from_n += SCORES) {
    put_sums(mine, share, from_n, &sums);
    @if(BY_KEY) put_sums_v(mine, share, from_n, &sums_v);
    workgroupBarrier();
    @unroll for (var i = 0u; i < MINE; i++) {
      let c = vector_of_scores(part, i);
      let d = vector_of(c, from_n);
      if (r0 + row < params.S && d < D4) {
        let at = ((b * params.S + r0 + row) * heads + head) * D4 + d;
        @if(!BY_KEY) dq[at] = s_tile[row * S_ROW + c] * params.scale;
        @if(BY_KEY) dk[at] = s_tile[row * S_ROW + c] * params.scale;
        @if(BY_KEY && !DV_F16) dv[at] = d_tile[row * S_ROW + c];
        @if(DV_F16) see(d_tile[row * S_ROW + c]);
        @if(DV_F16) dv[at] = halves(d_tile[row * S_ROW + c]);
      }
    }
    workgroupBarrier();
  }
  if (any(seen > vec4u(0x477fe000u))) { atomicOr(&flags, 1u); }
}
