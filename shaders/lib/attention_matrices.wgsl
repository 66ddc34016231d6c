// What attention_fwd_subgroup_matrix and attention_bwd_subgroup_matrix share: sizes, and products of the matrices of a subgroup with rows
// that are staged in workgroup memory. Plain WGSL, put behind those files by src/gpu/plain-wgsl.ts; the host replaces the constants.
//
// A workgroup has BR rows of its own and meets BC others at a time; of its WR x WC subgroups of SG lanes each has SM rows from `mine`
// on, and the share-th part of the others and of the head dim. PARTS lanes share a row of scores.

const SM = 16u;
const SN = 16u;
const SK = 16u;
const SG = 32u;
const WR = 4u;
const WC = 1u;
const BC = 32u;
const D = 64u;

const BR = WR * SM;
const LANES = WR * WC * SG;
const PARTS = LANES / BR;
const D4 = D / 4u;
const BC4 = BC / 4u;
const ROW = D4 + 2u; // vectors of a staged row: padded by 8 halves, which keeps rows off the same banks
const P_ROW = BC4 + 2u;
const S_ROW = BC4 + 1u;
const DEPTH = D / SK;
const SCORES = BC / WC / SN; // matrices of scores, and of sums, of a subgroup
const SUMS = D / WC / SN;

alias Left = subgroup_matrix_left<f16, SK, SM>; // columns, rows
alias Right = subgroup_matrix_right<f16, SN, SK>;
alias Sums = subgroup_matrix_result<f32, SN, SM>;

// window: keys that a query sees at most, itself among them
struct Params { B: u32, S: u32, H: u32, K: u32, window: u32, scale: f32 }

var<workgroup> tile: array<vec4<f16>, SETS * BC * ROW>;
var<workgroup> p_tile: array<vec4<f16>, BR * P_ROW>;
var<workgroup> s_tile: array<vec4f, BR * S_ROW>;
var<private> seen: vec4u;

// to f16; the largest magnitudes are kept as bits, as in lib/flags.wgsl
fn half(x: vec4f) -> vec4<f16> {
  seen = max(seen, bitcast<vec4u>(x) & vec4u(0x7fffffffu));
  return vec4<f16>(x);
}

// SM rows of the tile from vector `at` on
fn load_left(at: u32, left: ptr<function, array<Left, DEPTH>>) {
  for (var i = 0u; i < DEPTH; i++) { (*left)[i] = subgroupMatrixLoad<Left, row_major>(&tile, at + i * SK / 4u, ROW); }
}

// s_tile = the subgroup's rows . its share of the rows that are staged from vector `at` on
fn scores(left: ptr<function, array<Left, DEPTH>>, at: u32, mine: u32, share: u32) {
  for (var n = 0u; n < SCORES; n++) {
    let col = (share * SCORES + n) * SN;
    var score = Sums();
    for (var i = 0u; i < DEPTH; i++) {
      score = subgroupMatrixMultiplyAccumulate((*left)[i], subgroupMatrixLoad<Right, col_major>(&tile, at + col * ROW + i * SK / 4u, ROW), score);
    }
    subgroupMatrixStore<row_major>(&s_tile, mine * S_ROW + col / 4u, score, S_ROW);
  }
}

// sums += p_tile's weights . the share of the head dim of the rows that are staged from vector `at` on
fn add_weighted(at: u32, mine: u32, share: u32, sums: ptr<function, array<Sums, SUMS>>) {
  for (var i = 0u; i < BC; i += SK) {
    let weights = subgroupMatrixLoad<Left, row_major>(&p_tile, mine * P_ROW + i / 4u, P_ROW);
    for (var n = 0u; n < SUMS; n++) {
      let right = subgroupMatrixLoad<Right, row_major>(&tile, at + i * ROW + (share * SUMS + n) * SN / 4u, ROW);
      (*sums)[n] = subgroupMatrixMultiplyAccumulate(weights, right, (*sums)[n]);
    }
  }
}

// Matrices from_n to from_n + SCORES of every subgroup to s_tile: only in workgroup memory are their elements in reach.
fn put_sums(sums: ptr<function, array<Sums, SUMS>>, from_n: u32, mine: u32, share: u32) {
  for (var n = 0u; n < SCORES && from_n + n < SUMS; n++) {
    subgroupMatrixStore<row_major>(&s_tile, mine * S_ROW + (share * SCORES + n) * SN / 4u, (*sums)[from_n + n], S_ROW);
  }
}

// The vector of the head dim that stands at vector c of a row of s_tile then; D4 where there is none.
fn vector_of(c: u32, from_n: u32) -> u32 {
  let n = from_n + c * 4u % (BC / WC) / SN;
  return select((c * 4u / (BC / WC) * SUMS + n) * SN / 4u + c % (SN / 4u), D4, n >= SUMS);
}
