// What attention_fwd_subgroup_matrix and attention_bwd_subgroup_matrix share: sizes, and products of the rows that are
// staged in workgroup memory. Plain WGSL, put behind those files by src/gpu/plain-wgsl.ts; the host replaces the
// constants.
//
// A workgroup has BR rows of its own and meets BC others at a time; of its WR x WC subgroups of SG lanes each has SM
// rows from `mine` on, and the share-th part of the others and of the head dim. PARTS lanes share a row of scores.

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
const D8 = D / 8u;
const BC4 = BC / 4u;
const ROW = D8 + 1u; // vectors of eight halves in a staged row: padded by one, which keeps rows off the same banks
const P_ROW = BC / 8u + 1u; // the same of a row of weights
const S_ROW = BC4 + 1u; // vectors of four scores in a row
const MINE = BC4 / PARTS; // vectors of a row that a lane takes
const STAGED = BC * D8; // vectors of staged rows
const LOADS = (STAGED + LANES - 1u) / LANES; // vectors that a lane stages
const SCORES = BC / WC / SN; // matrices of scores, and of sums, of a subgroup
const SUMS = D / WC / SN;

alias Left = subgroup_matrix_left<f16, SK, SM>; // columns, rows
alias Right = subgroup_matrix_right<f16, SN, SK>;
alias Sums = subgroup_matrix_result<f32, SN, SM>;
alias RowOfSums = array<Sums, SUMS>; // sums of a subgroup; only constants may index them, or they lie in memory
alias Rows = array<vec4u, LOADS>; // a lane's share of rows that are on their way

// window: keys that a query sees at most, itself among them
struct Params { B: u32, S: u32, H: u32, K: u32, window: u32, scale: f32 }

// Row and vector of a lane's n-th share of staged rows.
fn staged_row(lane: u32, n: u32) -> u32 {
  if (LANES % D8 == 0u) { return lane / D8 + n * (LANES / D8); }
  return (lane + n * LANES) / D8;
}
fn staged_vector(lane: u32, n: u32) -> u32 {
  if (LANES % D8 == 0u) { return lane % D8; }
  return (lane + n * LANES) % D8;
}
fn is_staged(lane: u32, n: u32) -> bool { return (n + 1u) * LANES <= STAGED || lane + n * LANES < STAGED; }
fn staged_at(lane: u32, n: u32) -> u32 { return staged_row(lane, n) * ROW + staged_vector(lane, n); }

// the vector of scores that is the i-th of a lane
fn vector_of_scores(part: u32, i: u32) -> u32 { return part + i * PARTS; }
fn four_from(i: u32) -> vec4u { return vec4u(i) + vec4u(0u, 1u, 2u, 3u); }
fn halves(v: vec4f) -> vec2u { return bitcast<vec2u>(vec4<f16>(v)); }

// The vector of the head dim that stands at vector c of a row of s_tile once matrices from_n to from_n + SCORES of every
// subgroup are there; D4 where there is none.
fn vector_of(c: u32, from_n: u32) -> u32 {
  let n = from_n + c * 4u % (BC / WC) / SN;
  return select((c * 4u / (BC / WC) * SUMS + n) * SN / 4u + c % (SN / 4u), D4, n >= SUMS);
}
