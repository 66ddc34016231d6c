// The steps of attention_fwd_subgroup_matrix: staged rows, scores, sums. Plain WGSL, put behind that file by
// src/gpu/plain-wgsl.ts.
const DEPTH = D / SK;
alias OwnRows = array<Left, DEPTH>;

var<workgroup> k_tile: array<vec4u, BC * ROW>;
var<workgroup> v_tile: array<vec4u, BC * ROW>;
var<workgroup> s_tile: array<vec4f, BR * S_ROW>;
var<workgroup> p_tile: array<vec2u, BR * 2u * P_ROW>;
var<workgroup> growing: u32; // whether a row's reference is to change

// BC rows from token j0 on, those past the last as the last: no query sees them
fn fetch_k(lane: u32, keys: u32, j0: u32, rows: ptr<function, Rows>) {
  @unroll for (var n = 0u; n < LOADS; n++) { (*rows)[n] = k[key_at(lane, n, keys, j0)]; }
}
fn fetch_v(lane: u32, keys: u32, j0: u32, rows: ptr<function, Rows>) {
  @unroll for (var n = 0u; n < LOADS; n++) { (*rows)[n] = v[key_at(lane, n, keys, j0)]; }
}
fn key_at(lane: u32, n: u32, keys: u32, j0: u32) -> u32 {
  return keys + min(j0 + staged_row(lane, n), params.S - 1u) * params.K * D8 + staged_vector(lane, n);
}
fn put_k(lane: u32, rows: ptr<function, Rows>) {
  @unroll for (var n = 0u; n < LOADS; n++) { if (is_staged(lane, n)) { k_tile[staged_at(lane, n)] = (*rows)[n]; } }
}
fn put_v(lane: u32, rows: ptr<function, Rows>) {
  @unroll for (var n = 0u; n < LOADS; n++) { if (is_staged(lane, n)) { v_tile[staged_at(lane, n)] = (*rows)[n]; } }
}

// The queries, BC rows of them at a time.
fn load_own(lane: u32, b: u32, h: u32, s0: u32, mine: u32, left: ptr<function, OwnRows>) {
  @unroll for (var r = 0u; r < BR; r += BC) {
    @unroll for (var n = 0u; n < LOADS; n++) {
      let token = b * params.S + min(s0 + r + staged_row(lane, n), params.S - 1u);
      let own = q[(token * params.H + h) * D8 + staged_vector(lane, n)];
      let held = is_staged(lane, n) && r + staged_row(lane, n) < BR;
      if (held) { k_tile[staged_at(lane, n)] = own; }
    }
    workgroupBarrier();
    if (mine >= r && mine < r + BC) {
      @unroll for (var i = 0u; i < DEPTH; i++) {
        (*left)[i] = subgroupMatrixLoad<Left, row_major>(&k_tile, (mine - r) * ROW + i * SK / 8u, ROW);
      }
    }
    workgroupBarrier();
  }
}

// s_tile = the subgroup's queries . its share of the keys
fn scores(mine: u32, share: u32, own: ptr<function, OwnRows>) {
  var score: array<Sums, SCORES>;
  @unroll for (var i = 0u; i < DEPTH; i++) {
    let left = (*own)[i];
    @unroll for (var n = 0u; n < SCORES; n++) {
      let at = (share * SCORES + n) * SN * ROW + i * SK / 8u;
      let right = subgroupMatrixLoad<Right, col_major>(&k_tile, at, ROW);
      score[n] = subgroupMatrixMultiplyAccumulate(left, right, score[n]);
    }
  }
  @unroll for (var n = 0u; n < SCORES; n++) {
    subgroupMatrixStore<row_major>(&s_tile, mine * S_ROW + (share * SCORES + n) * SN / 4u, score[n], S_ROW);
  }
}

// The largest of a row, and its sum, over the lanes that share it.
fn of_row(value: f32) -> f32 {
  var most = value;
  for (var other = 1u; other < PARTS; other *= 2u) { most = max(most, subgroupShuffleXor(most, other)); }
  return most;
}
fn sum_of_row(value: f32) -> f32 {
  var sum = value;
  for (var other = 1u; other < PARTS; other *= 2u) { sum += subgroupShuffleXor(sum, other); }
  return sum;
}

// sums += p_tile's weights . the share of the head dim of the values
fn add_weighted(mine: u32, share: u32, sums: ptr<function, RowOfSums>) {
  @unroll for (var i = 0u; i < BC; i += SK) {
    let weights = subgroupMatrixLoad<Left, row_major>(&p_tile, mine * 2u * P_ROW + i / 4u, 2u * P_ROW);
    @unroll for (var n = 0u; n < SUMS; n++) {
      let right = subgroupMatrixLoad<Right, row_major>(&v_tile, i * ROW + (share * SUMS + n) * SN / 8u, ROW);
      (*sums)[n] = subgroupMatrixMultiplyAccumulate(weights, right, (*sums)[n]);
    }
  }
}

// Only in workgroup memory are the elements of matrices in reach: there as many of every subgroup as it has of scores.
fn score_at(mine: u32, share: u32, n: u32) -> u32 { return mine * S_ROW + (share * SCORES + n) * SN / 4u; }
fn put_sums(mine: u32, share: u32, from_n: u32, sums: ptr<function, RowOfSums>) {
  @unroll for (var n = 0u; n < SCORES; n++) {
    if (from_n + n < SUMS) {
      subgroupMatrixStore<row_major>(&s_tile, score_at(mine, share, n), (*sums)[min(from_n + n, SUMS - 1u)], S_ROW);
    }
  }
}
fn scale_sums(mine: u32, share: u32, row: u32, part: u32, factor: f32, sums: ptr<function, RowOfSums>) {
  @unroll for (var from_n = 0u; from_n < SUMS; from_n += SCORES) {
    put_sums(mine, share, from_n, sums);
    workgroupBarrier();
    @unroll for (var i = 0u; i < MINE; i++) { s_tile[row * S_ROW + vector_of_scores(part, i)] *= factor; }
    workgroupBarrier();
    @unroll for (var n = 0u; n < SCORES; n++) {
      if (from_n + n < SUMS) {
        (*sums)[min(from_n + n, SUMS - 1u)] =
          subgroupMatrixLoad<Sums, row_major>(&s_tile, score_at(mine, share, n), S_ROW);
      }
    }
    workgroupBarrier();
  }
}

// o = sums * factor, a factor a row; to: sequence, first query and head
fn store_sums(mine: u32, share: u32, row: u32, part: u32, to: vec3u, factor: f32, sums: ptr<function, RowOfSums>) {
  let at = ((to.x * params.S + to.y + row) * params.H + to.z) * D4;
  @if(O_F16) var seen = vec4u();
  @unroll for (var from_n = 0u; from_n < SUMS; from_n += SCORES) {
    put_sums(mine, share, from_n, sums);
    workgroupBarrier();
    @unroll for (var i = 0u; i < MINE; i++) {
      let c = vector_of_scores(part, i);
      let d = vector_of(c, from_n);
      let value = s_tile[row * S_ROW + c] * factor;
      if (to.y + row < params.S && d < D4) {
        @if(!O_F16) o[at + d] = value;
        @if(O_F16) o[at + d] = halves(value);
        @if(O_F16) seen = max(seen, bitcast<vec4u>(value) & vec4u(0x7fffffffu));
      }
    }
    workgroupBarrier();
  }
  @if(O_F16) if (any(seen > vec4u(0x477fe000u))) { atomicOr(&flags, 1u); }
}
