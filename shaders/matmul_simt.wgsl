import package::lib::flags::{ beyond_f16, magnitude4, FLAG_INPUT, FLAG_WEIGHT };
import package::lib::tiles::banded_tile;
import package::lib::product_tile::{ a_tile, b_tile, multiply, A_ROW, B_ROW, COLS, ROWS, SUMS };
import constants::{ BM, BN, BK, TM, TN };

// matmul_simt: y[r, c] (+)= scale * sum_d a(r, d) * b(d, c), through tiles in workgroup memory; or a slice of that sum (split K)
// with PLUS the last slice goes on over a second source (LoRA's): scale2 * a2(r, d) * b2(d, c); with BIAS its bias is added to a column
//
//   a  (R, D) rows of lda from a0 with A_DEPTH, else (D, R)  f32         in   F16: passes through f16 as it is loaded
//   b  (C, D) rows of ldb with B_DEPTH, else (D, C)          f32 or f16  in
//   a2 (R, D2), b2 as b from b2_0                            f32         in   PLUS, with A_DEPTH
//   bias (C from bias0)                                      f32         in   BIAS
//   y  (R, C) rows of ldy from y0; slice s at s * y_slice    f32         out
//   flags (1)                                                u32         F16: what left f16's range
//
// Grid: a workgroup per BM x BN tile and slice of the depth, a TM x TN tile per thread. Workgroup memory holds BK of the depth.
// Sums in f32 along d in order within a slice; the result is the same bits on every run.
// Host: src/kernels/matmul-simt.ts   Reference: test/ref/linear.ts

@if(F16) enable f16;

const DEPTHS = BK / 4u;
const FIRST = 0u;
const SECOND = 1u;

struct Params { R: u32, C: u32, D: u32, lda: u32, a0: u32, ldb: u32, ldy: u32, y0: u32, depth: u32, slices: u32, y_slice: u32, scale: f32, accumulate: u32, D2: u32, lda2: u32, ldb2: u32, b2_0: u32, scale2: f32, bias0: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4_A) @group(0) @binding(1) var<storage, read> a: array<vec4f>;
@if(!VEC4_A) @group(0) @binding(1) var<storage, read> a: array<f32>;
@if(VEC4_B && F16) @group(0) @binding(2) var<storage, read> b: array<vec4<f16>>;
@if(VEC4_B && !F16) @group(0) @binding(2) var<storage, read> b: array<vec4f>;
@if(!VEC4_B && F16) @group(0) @binding(2) var<storage, read> b: array<f16>;
@if(!VEC4_B && !F16) @group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@if(F16) @group(0) @binding(4) var<storage, read_write> flags: atomic<u32>;
@if(BIAS) @group(0) @binding(5) var<storage, read> bias: array<f32>;
@if(PLUS && VEC4_PLUS) @group(0) @binding(6) var<storage, read> a2: array<vec4f>;
@if(PLUS && !VEC4_PLUS) @group(0) @binding(6) var<storage, read> a2: array<f32>;
@if(PLUS && VEC4_PLUS) @group(0) @binding(7) var<storage, read> b2: array<vec4f>;
@if(PLUS && !VEC4_PLUS) @group(0) @binding(7) var<storage, read> b2: array<f32>;

@if(F16) var<private> seen_a: vec4u;
@if(F16) var<private> seen_b: vec4u;

// four neighbours in memory, zeros past either end; of the second source where SECOND is the source
fn load_a(source: u32, outer: u32, inner: u32, outer_end: u32, inner_end: u32) -> vec4f {
  let at = outer * params.lda + params.a0 + inner;
  @if(PLUS) let at2 = outer * params.lda2 + inner;
  var v = vec4f();
  if (outer >= outer_end || inner >= inner_end) { return v; }
  @if(PLUS && VEC4_PLUS) if (source == SECOND) { v = a2[at2 / 4u] * params.scale2; }
  @if(PLUS && !VEC4_PLUS) for (var j = 0u; source == SECOND && j < min(4u, inner_end - inner); j++) { v[j] = a2[at2 + j] * params.scale2; }
  @if(VEC4_A) if (source == FIRST) { v = a[at / 4u]; }
  @if(!VEC4_A) for (var j = 0u; source == FIRST && j < min(4u, inner_end - inner); j++) { v[j] = a[at + j]; }
  @if(F16) seen_a = max(seen_a, magnitude4(v));
  @if(F16) v = vec4f(vec4<f16>(v));
  return v;
}
fn load_b(source: u32, outer: u32, inner: u32, outer_end: u32, inner_end: u32) -> vec4f {
  let at = outer * params.ldb + inner;
  @if(PLUS) let at2 = params.b2_0 + outer * params.ldb2 + inner;
  var v = vec4f();
  if (outer >= outer_end || inner >= inner_end) { return v; }
  @if(PLUS && VEC4_PLUS) if (source == SECOND) { v = b2[at2 / 4u]; }
  @if(PLUS && !VEC4_PLUS) for (var j = 0u; source == SECOND && j < min(4u, inner_end - inner); j++) { v[j] = b2[at2 + j]; }
  @if(VEC4_B) if (source == FIRST) { v = vec4f(b[at / 4u]); }
  @if(!VEC4_B) for (var j = 0u; source == FIRST && j < min(4u, inner_end - inner); j++) { v[j] = f32(b[at + j]); }
  @if(F16) seen_b = max(seen_b, magnitude4(v));
  @if(F16 && PLUS) v = vec4f(vec4<f16>(v));
  return v;
}

// four values of the depth (columns of the matrix) by four rows of a or columns of b; turned where memory runs along the depth
@if(A_DEPTH) fn block_a(source: u32, r: u32, d: u32, end: u32) -> mat4x4f {
  return transpose(mat4x4f(load_a(source, r, d, params.R, end), load_a(source, r + 1u, d, params.R, end), load_a(source, r + 2u, d, params.R, end), load_a(source, r + 3u, d, params.R, end)));
}
@if(!A_DEPTH) fn block_a(source: u32, r: u32, d: u32, end: u32) -> mat4x4f {
  return mat4x4f(load_a(source, d, r, end, params.R), load_a(source, d + 1u, r, end, params.R), load_a(source, d + 2u, r, end, params.R), load_a(source, d + 3u, r, end, params.R));
}
@if(B_DEPTH) fn block_b(source: u32, c: u32, d: u32, end: u32) -> mat4x4f {
  return transpose(mat4x4f(load_b(source, c, d, params.C, end), load_b(source, c + 1u, d, params.C, end), load_b(source, c + 2u, d, params.C, end), load_b(source, c + 3u, d, params.C, end)));
}
@if(!B_DEPTH) fn block_b(source: u32, c: u32, d: u32, end: u32) -> mat4x4f {
  return mat4x4f(load_b(source, d, c, end, params.C), load_b(source, d + 1u, c, end, params.C), load_b(source, d + 2u, c, end, params.C), load_b(source, d + 3u, c, end, params.C));
}

// Lanes share the blocks of both tiles; neighbouring lanes go along the depth.
fn stage(source: u32, lane: u32, tile: vec2u, d: u32, end: u32) {
  for (var i = lane; i < (BM + BN) / 4u * DEPTHS; i += ROWS * COLS) {
    let k = i % DEPTHS * 4u;
    if (i < BM / 4u * DEPTHS) {
      let q = i / DEPTHS;
      let block = block_a(source, tile.x + q * 4u, d + k, end);
      for (var j = 0u; j < 4u; j++) { a_tile[(k + j) * A_ROW + q] = block[j]; }
    } else {
      let q = i / DEPTHS - BM / 4u;
      let block = block_b(source, tile.y + q * 4u, d + k, end);
      for (var j = 0u; j < 4u; j++) { b_tile[(k + j) * B_ROW + q] = block[j]; }
    }
  }
}

fn store(slice: u32, r: u32, c: u32, sums: vec4f) {
  if (r >= params.R) { return; }
  let at = slice * params.y_slice + r * params.ldy + params.y0 + c;
  for (var j = 0u; j < 4u && c + j < params.C; j++) {
    var value = sums[j] * params.scale;
    @if(BIAS) value += bias[params.bias0 + c + j];
    if (params.accumulate == 1u) { y[at + j] += value; } else { y[at + j] = value; }
  }
}

@compute @workgroup_size((BM / TM) * (BN / TN))
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles = vec2u((params.R + BM - 1u) / BM, (params.C + BN - 1u) / BN);
  let flat = wg.x + wg.y * grid.x;
  let slice = flat / (tiles.x * tiles.y);
  if (slice >= params.slices) { return; }
  let tile = banded_tile(flat % (tiles.x * tiles.y), tiles.x, tiles.y) * vec2u(BM, BN);
  let end = min((slice + 1u) * params.depth, params.D);
  let tx = lane % COLS;
  let ty = lane / COLS;
  var sums: array<vec4f, SUMS>;
  for (var d = slice * params.depth; d < end; d += BK) {
    stage(FIRST, lane, tile, d, end);
    workgroupBarrier();
    multiply(tx, ty, &sums);
    workgroupBarrier();
  }
  @if(PLUS) for (var d = 0u; slice + 1u == params.slices && d < params.D2; d += BK) {
    stage(SECOND, lane, tile, d, params.D2);
    workgroupBarrier();
    multiply(tx, ty, &sums);
    workgroupBarrier();
  }
  @if(F16) let bits = select(0u, FLAG_INPUT, beyond_f16(seen_a)) | select(0u, FLAG_WEIGHT, beyond_f16(seen_b));
  @if(F16) if (bits != 0u) { atomicOr(&flags, bits); }
  for (var i = 0u; i < TM / 4u; i++) {
    for (var j = 0u; j < TN / 4u; j++) {
      let r = tile.x + (i * ROWS + ty) * 4u;
      let c = tile.y + (j * COLS + tx) * 4u;
      for (var s = 0u; s < 4u; s++) { store(slice, r + s, c, sums[(i * (TN / 4u) + j) * 4u + s]); }
    }
  }
}
