import package::lib::flags::{ beyond_f16, magnitude4, FLAG_INPUT, FLAG_WEIGHT };
import package::lib::tiles::banded_tile;
import constants::{ BM, BN, BK, TM, TN };

// matmul_simt: y[r, c] (+)= scale * sum_d a(r, d) * b(d, c), through tiles in workgroup memory; or a slice of that sum (split K)
//
//   a  (R, D) rows of lda from a0 with A_DEPTH, else (D, R)  f32         in   F16: passes through f16 as it is loaded
//   b  (C, D) rows of ldb with B_DEPTH, else (D, C)          f32 or f16  in
//   y  (R, C) rows of ldy from y0; slice s at s * y_slice    f32         out
//   flags (1)                                                u32         F16: what left f16's range
//
// Grid: a workgroup per BM x BN tile and slice of the depth, a TM x TN tile per thread. Workgroup memory holds BK of the depth.
// Sums in f32 along d in order within a slice; the result is the same bits on every run.
// Host: src/kernels/matmul-simt.ts   Reference: test/ref/linear.ts

@if(F16) enable f16;

const COLS = BN / TN; // threads side by side
const ROWS = BM / TM;
const A_ROW = BM / 4u + 1u; // one vector of padding keeps columns off the same bank
const B_ROW = BN / 4u + 1u;
const SUMS = TM * TN / 4u;
const DEPTHS = BK / 4u;

struct Params { R: u32, C: u32, D: u32, lda: u32, a0: u32, ldb: u32, ldy: u32, y0: u32, depth: u32, slices: u32, y_slice: u32, scale: f32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(VEC4_A) @group(0) @binding(1) var<storage, read> a: array<vec4f>;
@if(!VEC4_A) @group(0) @binding(1) var<storage, read> a: array<f32>;
@if(VEC4_B && F16) @group(0) @binding(2) var<storage, read> b: array<vec4<f16>>;
@if(VEC4_B && !F16) @group(0) @binding(2) var<storage, read> b: array<vec4f>;
@if(!VEC4_B && F16) @group(0) @binding(2) var<storage, read> b: array<f16>;
@if(!VEC4_B && !F16) @group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@if(F16) @group(0) @binding(4) var<storage, read_write> flags: atomic<u32>;

var<workgroup> a_tile: array<vec4f, BK * A_ROW>;
var<workgroup> b_tile: array<vec4f, BK * B_ROW>;
@if(F16) var<private> seen_a: vec4u;
@if(F16) var<private> seen_b: vec4u;

// four neighbours in memory, zeros past either end
fn load_a(outer: u32, inner: u32, outer_end: u32, inner_end: u32) -> vec4f {
  let at = outer * params.lda + params.a0 + inner;
  var v = vec4f();
  if (outer >= outer_end) { return v; }
  @if(VEC4_A) if (inner < inner_end) { v = a[at / 4u]; }
  @if(!VEC4_A) for (var j = 0u; j < 4u && inner + j < inner_end; j++) { v[j] = a[at + j]; }
  @if(F16) seen_a = max(seen_a, magnitude4(v));
  @if(F16) v = vec4f(vec4<f16>(v));
  return v;
}
fn load_b(outer: u32, inner: u32, outer_end: u32, inner_end: u32) -> vec4f {
  let at = outer * params.ldb + inner;
  var v = vec4f();
  if (outer >= outer_end) { return v; }
  @if(VEC4_B) if (inner < inner_end) { v = vec4f(b[at / 4u]); }
  @if(!VEC4_B) for (var j = 0u; j < 4u && inner + j < inner_end; j++) { v[j] = f32(b[at + j]); }
  @if(F16) seen_b = max(seen_b, magnitude4(v));
  return v;
}

// four values of the depth (columns of the matrix) by four rows of a or columns of b; turned where memory runs along the depth
@if(A_DEPTH) fn block_a(r: u32, d: u32, end: u32) -> mat4x4f {
  return transpose(mat4x4f(load_a(r, d, params.R, end), load_a(r + 1u, d, params.R, end), load_a(r + 2u, d, params.R, end), load_a(r + 3u, d, params.R, end)));
}
@if(!A_DEPTH) fn block_a(r: u32, d: u32, end: u32) -> mat4x4f {
  return mat4x4f(load_a(d, r, end, params.R), load_a(d + 1u, r, end, params.R), load_a(d + 2u, r, end, params.R), load_a(d + 3u, r, end, params.R));
}
@if(B_DEPTH) fn block_b(c: u32, d: u32, end: u32) -> mat4x4f {
  return transpose(mat4x4f(load_b(c, d, params.C, end), load_b(c + 1u, d, params.C, end), load_b(c + 2u, d, params.C, end), load_b(c + 3u, d, params.C, end)));
}
@if(!B_DEPTH) fn block_b(c: u32, d: u32, end: u32) -> mat4x4f {
  return mat4x4f(load_b(d, c, end, params.C), load_b(d + 1u, c, end, params.C), load_b(d + 2u, c, end, params.C), load_b(d + 3u, c, end, params.C));
}

// Lanes share the blocks of both tiles; neighbouring lanes go along the depth.
fn stage(lane: u32, tile: vec2u, d: u32, end: u32) {
  for (var i = lane; i < (BM + BN) / 4u * DEPTHS; i += ROWS * COLS) {
    let k = i % DEPTHS * 4u;
    if (i < BM / 4u * DEPTHS) {
      let q = i / DEPTHS;
      let block = block_a(tile.x + q * 4u, d + k, end);
      for (var j = 0u; j < 4u; j++) { a_tile[(k + j) * A_ROW + q] = block[j]; }
    } else {
      let q = i / DEPTHS - BM / 4u;
      let block = block_b(tile.y + q * 4u, d + k, end);
      for (var j = 0u; j < 4u; j++) { b_tile[(k + j) * B_ROW + q] = block[j]; }
    }
  }
}

fn store(slice: u32, r: u32, c: u32, sums: vec4f) {
  if (r >= params.R) { return; }
  let at = slice * params.y_slice + r * params.ldy + params.y0 + c;
  for (var j = 0u; j < 4u && c + j < params.C; j++) {
    let value = sums[j] * params.scale;
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
    stage(lane, tile, d, end);
    workgroupBarrier();
    for (var k = 0u; k < BK; k++) {
      for (var i = 0u; i < TM / 4u; i++) {
        let left = a_tile[k * A_ROW + i * ROWS + ty];
        for (var j = 0u; j < TN / 4u; j++) {
          let right = b_tile[k * B_ROW + j * COLS + tx];
          let at = (i * (TN / 4u) + j) * 4u;
          sums[at] += left.x * right;
          sums[at + 1u] += left.y * right;
          sums[at + 2u] += left.z * right;
          sums[at + 3u] += left.w * right;
        }
      }
    }
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
