// matmul_subgroup_matrix: y[r, c] (+)= scale * sum_d a[r, d] * w(d, c) on tensor cores: f16 operands, f32 sums
// with PLUS the sums go on over a second source (LoRA's): scale2 * a2[r, d] * b2(d, c); with BIAS the bias of its column is added
//
//   a  (R, D)  rows of lda from a0    f32  in   rounded to f16 on its way into workgroup memory
//   w  (C, D)  with B_DEPTH, else (D, C)  f16  in   rows of ldb: the same matrix serves forward and backward
//   a2 (R, D2), b2 (C, D2) or (D2, C) from b2_0  f32  in   PLUS: scaled, then rounded to f16 as a is
//   bias (C from bias0)               f32  in   BIAS
//   y  (R, C)  rows of ldy from y0    f32  out
//   flags (1)                         u32       what left f16's range
//
// Grid: a workgroup per tile; its subgroups, WR x WC of SG lanes, have RM x RN matrices of SM x SN each. BK of the depth is
// staged at a time, in steps of SK; with AHEAD the next BK are on their way into registers meanwhile. Sums in f32 in the device's own order within SK; the same bits on every run.
// Plain WGSL, read by src/gpu/plain-wgsl.ts: the host replaces the constants.
// Host: src/kernels/matmul-subgroup-matrix.ts   Reference: test/ref/linear.ts

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
@if(SIZED) enable subgroup_size_control;

const SM = 16u;
const SN = 16u;
const SK = 16u;
const SG = 32u;
const WR = 2u;
const WC = 2u;
const RM = 2u;
const RN = 2u;
const BK = 32u;

const BM = WR * RM * SM;
const BN = WC * RN * SN;
const LANES = WR * WC * SG;
const A_ROW = BK / 4u + 2u; // rows are padded by 8 halves, which keeps them off the same banks
@if(B_DEPTH) const B_ROW = BK / 4u + 2u;
@if(B_DEPTH) const B_LINES = BN; // lines of the tile in workgroup memory, each along the depth
@if(B_DEPTH) const B_LINE = BK;
@if(!B_DEPTH) const B_ROW = BN / 4u + 2u;
@if(!B_DEPTH) const B_LINES = BK;
@if(!B_DEPTH) const B_LINE = BN;

alias Left = subgroup_matrix_left<f16, SK, SM>; // columns, rows
alias Right = subgroup_matrix_right<f16, SN, SK>;
alias Sums = subgroup_matrix_result<f32, SN, SM>;

@include("lib/matrix_tile.wgsl")
@if(PLUS) @include("lib/matrix_second_source.wgsl")
@if(AHEAD) @include("lib/matrix_ahead.wgsl")

struct Params { R: u32, C: u32, D: u32, lda: u32, a0: u32, ldb: u32, ldy: u32, y0: u32, scale: f32, accumulate: u32, D2: u32, lda2: u32, ldb2: u32, b2_0: u32, scale2: f32, bias0: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4_A) @group(0) @binding(1) var<storage, read> a: array<vec4f>;
@if(!VEC4_A) @group(0) @binding(1) var<storage, read> a: array<f32>;
@if(VEC4_B) @group(0) @binding(2) var<storage, read> w: array<vec4<f16>>;
@if(!VEC4_B) @group(0) @binding(2) var<storage, read> w: array<f16>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> flags: atomic<u32>;
@if(BIAS) @group(0) @binding(5) var<storage, read> bias: array<f32>;

var<workgroup> a_tile: array<vec4<f16>, BM * A_ROW>;
var<workgroup> b_tile: array<vec4<f16>, B_LINES * B_ROW>;
var<workgroup> sums_tile: array<f32, WR * WC * SM * SN>;
var<private> seen_a: vec4u; // the largest magnitudes that became operands, as in lib/flags.wgsl
var<private> seen_w: vec4u;

// four neighbours in memory, zeros past either end
fn load_a(outer: u32, inner: u32) -> vec4f {
  let at = outer * params.lda + params.a0 + inner;
  var v = vec4f();
  if (outer >= params.R) { return v; }
  @if(VEC4_A) if (inner < params.D) { v = a[at / 4u]; }
  @if(!VEC4_A) for (var j = 0u; j < 4u && inner + j < params.D; j++) { v[j] = a[at + j]; }
  return v;
}
fn load_w(outer: u32, inner: u32, outer_end: u32, inner_end: u32) -> vec4<f16> {
  let at = outer * params.ldb + inner;
  var v = vec4<f16>();
  if (outer >= outer_end) { return v; }
  @if(VEC4_B) if (inner < inner_end) { v = w[at / 4u]; }
  @if(!VEC4_B) for (var j = 0u; j < 4u && inner + j < inner_end; j++) { v[j] = w[at + j]; }
  return v;
}

fn stage(lane: u32, tile: vec2u, d: u32) {
  for (var i = lane; i < BM * (BK / 4u); i += LANES) {
    let v = load_a(tile.x + i / (BK / 4u), d + i % (BK / 4u) * 4u);
    seen_a = max(seen_a, magnitude4(v));
    a_tile[i / (BK / 4u) * A_ROW + i % (BK / 4u)] = vec4<f16>(v);
  }
  for (var i = lane; i < B_LINES * (B_LINE / 4u); i += LANES) {
    let at = vec2u(i / (B_LINE / 4u), i % (B_LINE / 4u));
    @if(B_DEPTH) let v = load_w(tile.y + at.x, d + at.y * 4u, params.C, params.D);
    @if(!B_DEPTH) let v = load_w(d + at.x, tile.y + at.y * 4u, params.D, params.C);
    seen_w = max(seen_w, magnitude4(vec4f(v)));
    b_tile[at.x * B_ROW + at.y] = v;
  }
}

@compute @workgroup_size(LANES)
@if(SIZED) @subgroup_size(SG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32) {
  let tiles = vec2u((params.R + BM - 1u) / BM, (params.C + BN - 1u) / BN);
  let flat = wg.x + wg.y * grid.x;
  if (flat >= tiles.x * tiles.y) { return; }
  let tile = banded_tile(flat, tiles.x, tiles.y) * vec2u(BM, BN);
  let mine = vec2u(subgroup / WC, subgroup % WC) * vec2u(RM * SM, RN * SN); // within the tile
  var sums: array<Sums, RM * RN>;
  @if(AHEAD) var slab: Slab;
  @if(AHEAD) fetch(lane, tile, 0u, &slab);
  for (var d = 0u; d < params.D; d += BK) {
    @if(AHEAD) put(lane, &slab);
    @if(!AHEAD) stage(lane, tile, d);
    workgroupBarrier();
    @if(AHEAD) fetch(lane, tile, d + BK, &slab);
    multiply(mine, &sums);
    workgroupBarrier();
  }
  @if(PLUS) add_second_source(lane, tile, mine, &sums);
  let bits = select(0u, 1u, any(seen_a > vec4u(0x477fe000u))) | select(0u, 2u, any(seen_w > vec4u(0x477fe000u)));
  if (bits != 0u) { atomicOr(&flags, bits); }
  // a matrix of each subgroup at a time passes through workgroup memory: only there are its elements in reach
  for (var i = 0u; i < RM; i++) {
    for (var j = 0u; j < RN; j++) {
      subgroupMatrixStore<row_major>(&sums_tile, subgroup * SM * SN, sums[i * RN + j], SN);
      workgroupBarrier();
      for (var e = lane; e < WR * WC * SM * SN; e += LANES) {
        let owner = e / (SM * SN);
        let r = tile.x + (owner / WC * RM + i) * SM + e / SN % SM;
        let c = tile.y + (owner % WC * RN + j) * SN + e % SN;
        if (r >= params.R || c >= params.C) { continue; }
        let at = r * params.ldy + params.y0 + c;
        var value = sums_tile[e] * params.scale;
        @if(BIAS) value += bias[params.bias0 + c];
        if (params.accumulate == 1u) { y[at] += value; } else { y[at] = value; }
      }
      workgroupBarrier();
    }
  }
}
