// matmul_subgroup_matrix: y[m, n] (+)= scale * sum_k a[m, k] * w(k, n) on tensor cores: f16 operands, f32 sums
// with PLUS the sums begin with a second source (LoRA's): scale2 * a2[m, k] * b2(k, n); with BIAS a column's is added
//
//   a  (M, K)  rows of lda from a0    f32 or f16  in   A_F16; f32 is rounded to f16 on its way into workgroup memory
//   w  (N, K)  with B_DEPTH, else (K, N)  f16     in   rows of ldb: the same matrix serves forward and backward
//   a2 (M, K2), b2 (N, K2) or (K2, N) from b2_0  f32  in   PLUS: scaled, then rounded to f16 as a is
//   bias (N from bias0)               f32         in   BIAS
//   y  (M, N)  rows of ldy from y0    f32         out  with Y_F16 f16: N, ldy and y0 multiples of 4, stored, not added to
//   flags (1)                         u32              what left f16's range
//
// Grid: a workgroup per tile; its subgroups, WR x WC of SG lanes, have RM x RN matrices of SM x SN each. BK of the
// depth is staged at a time, in steps of SK, and the next is on its way into registers meanwhile. With TWO the tiles
// have two buffers and a round one barrier. FULL: BK divides K, and loads check nothing; WHOLE: tiles divide M and N.
// WIDE_A, WIDE_W: 16 bytes a load. STRAIGHT: whole tiles go to y as matrices.
// Sums in f32 in the device's own order within SK; the same bits on every run.
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

alias Left = subgroup_matrix_left<f16, SK, SM>; // columns, rows
alias Right = subgroup_matrix_right<f16, SN, SK>;
alias Sums = subgroup_matrix_result<f32, SN, SM>;
alias Tile = array<Sums, RM * RN>; // of a subgroup; only constants may index it, or it lies in memory

@include("lib/matrix_tile.wgsl")
@include("lib/matrix_a.wgsl")
@if(!WIDE_A) @include("lib/matrix_a_single.wgsl")
@if(!TURNED) @include("lib/matrix_w.wgsl")
@if(!WIDE_W) @include("lib/matrix_w_single.wgsl")
@if(TURNED) @include("lib/matrix_w_turned.wgsl")
@if(PLUS) @include("lib/matrix_second_source.wgsl")
@if(STRAIGHT) @include("lib/matrix_straight.wgsl")
@if(!WHOLE || !STRAIGHT) @include("lib/matrix_store.wgsl")

struct Params {
  M: u32, N: u32, K: u32, lda: u32, a0: u32, ldb: u32, ldy: u32, y0: u32, scale: f32, accumulate: u32,
  K2: u32, lda2: u32, ldb2: u32, b2_0: u32, scale2: f32, bias0: u32
}

@if(!WIDE_A && !A_F16) alias OfA = f32;
@if(!WIDE_A && A_F16) alias OfA = f16;
@if(WIDE_A && !A_F16) alias OfA = vec4f;
@if(WIDE_A && A_F16) alias OfA = vec4u;
@if(!WIDE_W) alias OfW = f16;
@if(WIDE_W) alias OfW = vec4u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<OfA>;
@group(0) @binding(2) var<storage, read> w: array<OfW>;
@if(!Y_F16) alias OfY = f32;
@if(Y_F16) alias OfY = vec4<f16>;
@group(0) @binding(3) var<storage, read_write> y: array<OfY>;
@if(WATCH) @group(0) @binding(4) var<storage, read_write> flags: atomic<u32>;
@if(BIAS) @group(0) @binding(5) var<storage, read> bias: array<f32>;

struct Slab { a: SlabA, w: SlabW } // what is on its way

@compute @workgroup_size(LANES)
@if(SIZED) @subgroup_size(SG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let tiles = vec2u((params.M + BM - 1u) / BM, (params.N + BN - 1u) / BN);
  let flat = wg.x + wg.y * grid.x;
  if (flat >= tiles.x * tiles.y) { return; }
  let tile = banded_tile(flat, tiles.x, tiles.y) * vec2u(BM, BN);
  let mine = vec2u(subgroup / WC, subgroup % WC) * vec2u(RM * SM, RN * SN); // within the tile
  let part = vec2u(mine.x * A_ROW, right_at(mine.y));
  @if(STRAIGHT) let whole = is_whole(tile);
  var sums: Tile;
  @if(STRAIGHT) if (whole && params.accumulate == 1u) { load_sums(tile + mine, &sums); }
  @if(Y_F16 && !TURNED) if (params.accumulate == 1u) { keep_together(subgroup, &sums); }
  @if(PLUS) add_second_source(lane, tile, part, &sums);
  var slab: Slab;
  var base = vec2u(); // the buffers to multiply from
  start_a(lane, tile.x, &slab.a);
  start_w(lane, tile.y, &slab.w);
  fetch_a(lane, 0u, &slab.a);
  fetch_w(lane, 0u, &slab.w);
  @if(TWO) put_a(lane, 0u, 0u, &slab.a);
  @if(TWO) put_w(lane, 0u, 0u, &slab.w);
  @if(TWO) fetch_a(lane, BK, &slab.a);
  @if(TWO) fetch_w(lane, BK, &slab.w);
  @if(TWO) workgroupBarrier();
  for (var d = 0u; d < params.K; d += BK) {
    @if(TWO) let to = vec2u(A_SIZE, W_SIZE) - base;
    @if(!TWO) let to = base;
    put_a(lane, to.x, d + (AHEAD - 1u) * BK, &slab.a);
    put_w(lane, to.y, d + (AHEAD - 1u) * BK, &slab.w);
    @if(!TWO) workgroupBarrier();
    fetch_a(lane, d + AHEAD * BK, &slab.a);
    fetch_w(lane, d + AHEAD * BK, &slab.w);
    multiply(base + part, &sums);
    workgroupBarrier();
    base = to;
  }
  raise_flags();
  @if(STRAIGHT) if (whole) { store_sums(tile + mine, &sums); }
  @if(STRAIGHT && !WHOLE) if (!whole) { store_checked(lane, subgroup, tile, &sums); }
  @if(!STRAIGHT) store_checked(lane, subgroup, tile, &sums);
}
