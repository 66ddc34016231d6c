// What both sources of matmul_subgroup_matrix share: the product of the staged tiles, and their order. Plain WGSL, put
// behind that file by src/gpu/plain-wgsl.ts.
const EIGHT = 8u; // halves of a vec4u
@if(TWO) const BUFFERS = 2u;
@if(!TWO) const BUFFERS = 1u;
const AHEAD = BUFFERS; // rounds from a fetch to the product of what it fetched

// sums += a subgroup's part of the tiles, which starts there in the one and in the other
fn multiply(at: vec2u, sums: ptr<function, Tile>) {
  @unroll for (var k = 0u; k < BK; k += SK) {
    var right: array<Right, RN>;
    @unroll for (var j = 0u; j < RN; j++) { right[j] = right_of(at.y, j * SN, k); }
    @unroll for (var i = 0u; i < RM; i++) {
      let left = left_of(at.x, i * SM, k);
      @unroll for (var j = 0u; j < RN; j++) {
        (*sums)[i * RN + j] = subgroupMatrixMultiplyAccumulate(left, right[j], (*sums)[i * RN + j]);
      }
    }
  }
}

// What a tile reaches past the last row or column, it reads within.
fn clamped(i: u32, last: u32) -> u32 {
  @if(WHOLE) return i;
  @if(!WHOLE) return min(i, last);
}
fn four_from(i: u32) -> vec4u { return vec4u(i) + vec4u(0u, 1u, 2u, 3u); }
// Where a round starts along the depth; the last rounds fetch what nothing multiplies.
fn depth_of(d: u32) -> u32 {
  @if(FULL) return min(d, params.K - BK);
  @if(!FULL) return d;
}

// the magnitudes as bits, as in lib/flags.wgsl
fn magnitude4(v: vec4f) -> vec4u { return bitcast<vec4u>(v) & vec4u(0x7fffffffu); }

fn halves(low: vec4f, high: vec4f) -> vec4u {
  return vec4u(bitcast<vec2u>(vec4<f16>(low)), bitcast<vec2u>(vec4<f16>(high)));
}

// What became an operand: of f32 its bits as a signed and an unsigned number, the larger of which shows a positive and
// a negative one that f16 does not hold, or a NaN; of f16 whether all bits of an exponent were set.
@if(WATCH) var<private> seen_plus: i32;
@if(WATCH) var<private> seen_minus: u32;
@if(WATCH) var<private> seen_w: u32;
fn see_a(low: vec4f, high: vec4f) {
  @if(WATCH) @unroll for (var j = 0u; j < 4u; j++) { see_two(bitcast<vec2u>(vec2f(low[j], high[j]))); }
}
fn see_two(v: vec2u) { // in a chain: some devices take the maximum of three at once
  @if(WATCH) seen_plus = max(max(seen_plus, i32(v.x)), i32(v.y));
  @if(WATCH) seen_minus = max(max(seen_minus, v.x), v.y);
}
fn see_w(v: vec4u) {
  @if(WATCH) let full = (v & vec4u(0x7c007c00u)) + vec4u(0x04000400u);
  @if(WATCH) seen_w |= (full.x | full.y) | (full.z | full.w);
}
fn raise_flags() {
  @if(WATCH) let bad_a = seen_plus > 0x477fe000i || seen_minus > 0xc77fe000u;
  @if(WATCH) let bad_w = (seen_w & 0x80008000u) != 0u;
  @if(WATCH) if (bad_a || bad_w) { atomicOr(&flags, select(0u, 1u, bad_a) | select(0u, 2u, bad_w)); }
}

fn is_whole(tile: vec2u) -> bool {
  @if(WHOLE) return true;
  @if(!WHOLE) return all(tile + vec2u(BM, BN) <= vec2u(params.M, params.N));
}

// Row and column of the i-th tile, down bands of 8 rows of tiles, as in lib/tiles.wgsl.
fn banded_tile(i: u32, rows: u32, cols: u32) -> vec2u {
  let first = i / (8u * cols) * 8u;
  let height = min(rows - first, 8u);
  let within = i % (8u * cols);
  return vec2u(first + within % height, within / height);
}
