import package::lib::flags::{ beyond_f16, FLAG_INPUT, FLAG_WEIGHT };
import package::lib::tiles::banded_tile;
import package::lib::product_tile::{ a_tile, b_tile, multiply, A_ROW, B_ROW, COLS, ROWS, SUMS };
import package::lib::simt_loads::{ block_a, block_b };
import package::lib::simt_parts::{ part_a, part_b };
import constants::{ BM, BN, BK, TM, TN };

// matmul_simt: y[m, n] (+)= scale * sum_k a(m, k) * b(k, n) by tiles in workgroup memory; or a slice of it (split K)
// with PLUS the last slice begins with a second source (LoRA's): scale2 * a2(m, k) * b2(k, n); with BIAS a column's is
// added
//
//   a  (M, K) rows of lda from a0 with A_DEPTH, else (K, M)  f32 or f16  in   A_F16; F16: passes through f16 as it is loaded
//   b  (N, K) rows of ldb with B_DEPTH, else (K, N)          f32 or f16  in   B_F16
//   a2 (M, K2), b2 as b from b2_0                            f32         in   PLUS, with A_DEPTH
//   bias (N from bias0)                                      f32         in   BIAS
//   y  (M, N) rows of ldy from y0; slice s at s * y_slice    f32         out
//   flags (1)                                                u32         F16: what left f16's range
//
// Grid: a workgroup per BM x BN tile and slice of the depth, a TM x TN tile per thread. Workgroup memory holds BK of
// the depth, and the next is on its way into registers meanwhile. FULL: tiles divide M, N and K; nothing is checked.
// Sums in f32 along k in order within a slice; the result is the same bits on every run.
// Host: src/kernels/matmul-simt.ts   Reference: test/ref/linear.ts

@if(A_F16 || B_F16) enable f16;

const FIRST = 0u; // source
const SECOND = 1u;
const DEPTHS = BK / 4u;
const THREADS = ROWS * COLS;
const A_BLOCKS = BM / 4u * DEPTHS; // of 4 x 4
const BLOCKS = A_BLOCKS + BN / 4u * DEPTHS;
const LOADS = (BLOCKS + THREADS - 1u) / THREADS;

struct Params {
  M: u32, N: u32, K: u32, lda: u32, a0: u32, ldb: u32, ldy: u32, y0: u32, depth: u32, slices: u32, y_slice: u32,
  scale: f32, accumulate: u32, K2: u32, lda2: u32, ldb2: u32, b2_0: u32, scale2: f32, bias0: u32
}

@if(A_F16) alias ScalarA = f16;
@if(!A_F16) alias ScalarA = f32;
@if(B_F16) alias ScalarB = f16;
@if(!B_F16) alias ScalarB = f32;
@if(VEC4_A) alias OfA = vec4<ScalarA>;
@if(!VEC4_A) alias OfA = ScalarA;
@if(VEC4_B) alias OfB = vec4<ScalarB>;
@if(!VEC4_B) alias OfB = ScalarB;
@if(VEC4_PLUS) alias OfPlus = vec4f;
@if(!VEC4_PLUS) alias OfPlus = f32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<OfA>;
@group(0) @binding(2) var<storage, read> b: array<OfB>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@if(F16) @group(0) @binding(4) var<storage, read_write> flags: atomic<u32>;
@if(BIAS) @group(0) @binding(5) var<storage, read> bias: array<f32>;
@if(PLUS) @group(0) @binding(6) var<storage, read> a2: array<OfPlus>;
@if(PLUS) @group(0) @binding(7) var<storage, read> b2: array<OfPlus>;

@if(F16) var<private> seen_a: vec4u;
@if(F16) var<private> seen_b: vec4u;

alias Block = array<vec4u, 4>; // of memory: four rows, four neighbours of each, as bits

// Lanes share the blocks of both tiles; neighbouring lanes go along the depth, from d on.
fn fetch(source: u32, lane: u32, tile: vec2u, d: u32, depth: u32, slab: ptr<function, array<Block, LOADS>>) {
  @unroll for (var n = 0u; n < LOADS; n++) {
    let i = lane + n * THREADS;
    let k = d + i % DEPTHS * 4u;
    if (i < A_BLOCKS) {
      (*slab)[n] = block_a(source, tile.x + i / DEPTHS * 4u, k, depth);
    } else if (i < BLOCKS) {
      (*slab)[n] = block_b(source, tile.y + i / DEPTHS * 4u - BM, k, depth);
    }
  }
}
fn put(source: u32, lane: u32, d: u32, end: u32, slab: ptr<function, array<Block, LOADS>>) {
  @unroll for (var n = 0u; n < LOADS; n++) {
    let i = lane + n * THREADS;
    let k = i % DEPTHS * 4u;
    if (i < A_BLOCKS) {
      let m = part_a(source, (*slab)[n], d + k, end);
      @unroll for (var j = 0u; j < 4u; j++) { a_tile[(k + j) * A_ROW + i / DEPTHS] = m[j]; }
    } else if (i < BLOCKS) {
      let m = part_b(source, (*slab)[n], d + k, end);
      @unroll for (var j = 0u; j < 4u; j++) { b_tile[(k + j) * B_ROW + i / DEPTHS - BM / 4u] = m[j]; }
    }
  }
}

fn store(at: u32, c: u32, sum: f32) {
  var value = sum * params.scale;
  @if(BIAS) value += bias[params.bias0 + c];
  if (params.accumulate == 1u) { y[at] += value; } else { y[at] = value; }
}
fn store_four(slice: u32, r: u32, c: u32, sums: vec4f) {
  if (r >= params.M) { return; }
  let at = slice * params.y_slice + r * params.ldy + params.y0 + c;
  if (c < params.N) { store(at, c, sums.x); }
  if (c + 1u < params.N) { store(at + 1u, c + 1u, sums.y); }
  if (c + 2u < params.N) { store(at + 2u, c + 2u, sums.z); }
  if (c + 3u < params.N) { store(at + 3u, c + 3u, sums.w); }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tiles = vec2u((params.M + BM - 1u) / BM, (params.N + BN - 1u) / BN);
  let flat = wg.x + wg.y * grid.x;
  let slice = flat / (tiles.x * tiles.y);
  if (slice >= params.slices) { return; }
  let tile = banded_tile(flat % (tiles.x * tiles.y), tiles.x, tiles.y) * vec2u(BM, BN);
  let end = min((slice + 1u) * params.depth, params.K);
  let tx = lane % COLS;
  let ty = lane / COLS;
  var sums: array<vec4f, SUMS>;
  var slab: array<Block, LOADS>;
  @if(PLUS) for (var d = 0u; slice + 1u == params.slices && d < params.K2; d += BK) {
    fetch(SECOND, lane, tile, d, params.K2, &slab);
    put(SECOND, lane, d, params.K2, &slab);
    workgroupBarrier();
    multiply(tx, ty, &sums);
    workgroupBarrier();
  }
  fetch(FIRST, lane, tile, slice * params.depth, params.K, &slab);
  for (var d = slice * params.depth; d < end; d += BK) {
    put(FIRST, lane, d, end, &slab);
    workgroupBarrier();
    @if(FULL) fetch(FIRST, lane, tile, min(d + BK, end - BK), params.K, &slab);
    @if(!FULL) fetch(FIRST, lane, tile, d + BK, params.K, &slab);
    multiply(tx, ty, &sums);
    workgroupBarrier();
  }
  @if(F16) let bits = select(0u, FLAG_INPUT, beyond_f16(seen_a)) | select(0u, FLAG_WEIGHT, beyond_f16(seen_b));
  @if(F16) if (bits != 0u) { atomicOr(&flags, bits); }
  @unroll for (var i = 0u; i < TM / 4u; i++) {
    @unroll for (var j = 0u; j < TN / 4u; j++) {
      let r = tile.x + (i * ROWS + ty) * 4u;
      let c = tile.y + (j * COLS + tx) * 4u;
      @unroll for (var s = 0u; s < 4u; s++) { store_four(slice, r + s, c, sums[(i * (TN / 4u) + j) * 4u + s]); }
    }
  }
}
