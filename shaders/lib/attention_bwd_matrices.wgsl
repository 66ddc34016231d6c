// The steps of attention_bwd_subgroup_matrix: staged rows, both products of rows and others, sums. Plain WGSL, put behind
// that file by src/gpu/plain-wgsl.ts.
const DEPTH = D / SK;
const PAD = BC4; // the last vector of a row of scores, which holds lse and delta of its query

var<workgroup> own_tile: array<vec4u, BR * ROW>; // q or k
var<workgroup> own_2_tile: array<vec4u, BR * ROW>; // dO or v
var<workgroup> tile: array<vec4u, BC * ROW>; // k or q
var<workgroup> tile_2: array<vec4u, BC * ROW>; // v or dO
var<workgroup> s_tile: array<vec4f, BR * S_ROW>; // q . k
var<workgroup> d_tile: array<vec4f, BR * S_ROW>; // dO . v
@if(BY_KEY) var<workgroup> p_tile: array<vec2u, BR * 2u * P_ROW>;
var<workgroup> ds_tile: array<vec2u, BR * 2u * P_ROW>;

var<private> seen: vec4u; // the largest magnitudes as bits, as in lib/flags.wgsl
fn see(v: vec4f) { seen = max(seen, bitcast<vec4u>(v) & vec4u(0x7fffffffu)); }

// Where a row of the queries or of the keys of head h starts; past the last, the last: nothing meets it.
fn query_at(b: u32, h: u32, s: u32) -> u32 {
  return ((b * params.S + min(s, params.S - 1u)) * params.H + h) * D8;
}
fn key_at(b: u32, h: u32, s: u32) -> u32 {
  return ((b * params.S + min(s, params.S - 1u)) * params.K + h) * D8;
}

fn stage_own(lane: u32, b: u32, head: u32, r0: u32) {
  for (var i = lane; i < BR * D8; i += LANES) {
    let to = i / D8 * ROW + i % D8;
    @if(!BY_KEY) let at = query_at(b, head, r0 + i / D8) + i % D8;
    @if(!BY_KEY) own_tile[to] = q[at];
    @if(!BY_KEY) own_2_tile[to] = dO[at];
    @if(BY_KEY) let at = key_at(b, head, r0 + i / D8) + i % D8;
    @if(BY_KEY) own_tile[to] = k[at];
    @if(BY_KEY) own_2_tile[to] = v[at];
  }
}

// BC others of query head h from token c0 on: all loads, then all stores
fn stage_others(lane: u32, b: u32, h: u32, c0: u32) {
  var first: Rows;
  var second: Rows;
  @unroll for (var n = 0u; n < LOADS; n++) {
    let s = c0 + staged_row(lane, n);
    @if(!BY_KEY) let at = key_at(b, h / (params.H / params.K), s) + staged_vector(lane, n);
    @if(!BY_KEY) first[n] = k[at];
    @if(!BY_KEY) second[n] = v[at];
    @if(BY_KEY) let at = query_at(b, h, s) + staged_vector(lane, n);
    @if(BY_KEY) first[n] = q[at];
    @if(BY_KEY) second[n] = dO[at];
  }
  @if(BY_KEY) let of_query = (b * params.S + min(c0 + lane % BC, params.S - 1u)) * params.H + h;
  @if(BY_KEY) let logs = vec2f(lse[of_query], delta[of_query]);
  @unroll for (var n = 0u; n < LOADS; n++) {
    if (is_staged(lane, n)) {
      tile[staged_at(lane, n)] = first[n];
      tile_2[staged_at(lane, n)] = second[n];
    }
  }
  @if(BY_KEY) if (lane < BC) { s_tile[lane * S_ROW + PAD] = vec4f(logs, 0.0, 0.0); }
}
@if(BY_KEY) fn padded(c: u32, j: u32) -> vec2f { return s_tile[(c * 4u + j) * S_ROW + PAD].xy; }
@if(BY_KEY) fn logs_and_deltas_of(c: u32) -> mat4x2f {
@if(BY_KEY)   return mat4x2f(padded(c, 0u), padded(c, 1u), padded(c, 2u), padded(c, 3u));
@if(BY_KEY) }

// s_tile and d_tile = the subgroup's rows . its share of the others
fn products(mine: u32, share: u32) {
  var score: array<Sums, SCORES>;
  var score_2: array<Sums, SCORES>;
  @unroll for (var i = 0u; i < DEPTH; i++) {
    let left = subgroupMatrixLoad<Left, row_major>(&own_tile, mine * ROW + i * SK / 8u, ROW);
    let left_2 = subgroupMatrixLoad<Left, row_major>(&own_2_tile, mine * ROW + i * SK / 8u, ROW);
    @unroll for (var n = 0u; n < SCORES; n++) {
      let at = (share * SCORES + n) * SN * ROW + i * SK / 8u;
      let right = subgroupMatrixLoad<Right, col_major>(&tile, at, ROW);
      let right_2 = subgroupMatrixLoad<Right, col_major>(&tile_2, at, ROW);
      score[n] = subgroupMatrixMultiplyAccumulate(left, right, score[n]);
      score_2[n] = subgroupMatrixMultiplyAccumulate(left_2, right_2, score_2[n]);
    }
  }
  @unroll for (var n = 0u; n < SCORES; n++) {
    subgroupMatrixStore<row_major>(&s_tile, score_at(mine, share, n), score[n], S_ROW);
    subgroupMatrixStore<row_major>(&d_tile, score_at(mine, share, n), score_2[n], S_ROW);
  }
}

// sums += the weights of a tile . the share of the head dim of the others
fn add_ds(mine: u32, share: u32, sums: ptr<function, RowOfSums>) {
  @unroll for (var i = 0u; i < BC; i += SK) {
    let weights = subgroupMatrixLoad<Left, row_major>(&ds_tile, mine * 2u * P_ROW + i / 4u, 2u * P_ROW);
    @unroll for (var n = 0u; n < SUMS; n++) {
      let right = subgroupMatrixLoad<Right, row_major>(&tile, i * ROW + (share * SUMS + n) * SN / 8u, ROW);
      (*sums)[n] = subgroupMatrixMultiplyAccumulate(weights, right, (*sums)[n]);
    }
  }
}
@if(BY_KEY) fn add_dv(mine: u32, share: u32, sums: ptr<function, RowOfSums>) {
@if(BY_KEY)   @unroll for (var i = 0u; i < BC; i += SK) {
@if(BY_KEY)     let weights = subgroupMatrixLoad<Left, row_major>(&p_tile, mine * 2u * P_ROW + i / 4u, 2u * P_ROW);
@if(BY_KEY)     @unroll for (var n = 0u; n < SUMS; n++) {
@if(BY_KEY)       let at = i * ROW + (share * SUMS + n) * SN / 8u;
@if(BY_KEY)       let right = subgroupMatrixLoad<Right, row_major>(&tile_2, at, ROW);
@if(BY_KEY)       (*sums)[n] = subgroupMatrixMultiplyAccumulate(weights, right, (*sums)[n]);
@if(BY_KEY)     }
@if(BY_KEY)   }
@if(BY_KEY) }

// Only in workgroup memory are the elements of matrices in reach: there as many of every subgroup as it has of scores.
fn score_at(mine: u32, share: u32, n: u32) -> u32 { return mine * S_ROW + (share * SCORES + n) * SN / 4u; }
fn put_sums(mine: u32, share: u32, from_n: u32, sums: ptr<function, RowOfSums>) {
  @unroll for (var n = 0u; n < SCORES; n++) {
    if (from_n + n < SUMS) {
      subgroupMatrixStore<row_major>(&s_tile, score_at(mine, share, n), (*sums)[min(from_n + n, SUMS - 1u)], S_ROW);
    }
  }
}
@if(BY_KEY) fn put_sums_v(mine: u32, share: u32, from_n: u32, sums: ptr<function, RowOfSums>) {
@if(BY_KEY)   @unroll for (var n = 0u; n < SCORES; n++) {
@if(BY_KEY)     if (from_n + n < SUMS) {
@if(BY_KEY)       let at = score_at(mine, share, n);
@if(BY_KEY)       subgroupMatrixStore<row_major>(&d_tile, at, (*sums)[min(from_n + n, SUMS - 1u)], S_ROW);
@if(BY_KEY)     }
@if(BY_KEY)   }
@if(BY_KEY) }
