import package::lib::flags::magnitude4;
import package::matmul_simt::{ Block, FIRST, SECOND, ScalarA, ScalarB, a, a2, b, b2, params, seen_b };

// Loads of matmul_simt from memory: four rows of it, four neighbours of each, kept as bits until they are put into
// workgroup memory. Where a tile reaches past an end, it reads within.

@if(A_F16) fn bits_a(v: vec4<f16>) -> vec4u { return vec4u(bitcast<vec2u>(v), 0u, 0u); }
@if(!A_F16) fn bits_a(v: vec4f) -> vec4u { return bitcast<vec4u>(v); }
@if(B_F16) fn bits_b(v: vec4<f16>) -> vec4u { return vec4u(bitcast<vec2u>(v), 0u, 0u); }
@if(!B_F16) fn bits_b(v: vec4f) -> vec4u { return bitcast<vec4u>(v); }

fn four(i: u32) -> vec4u { return vec4u(i) + vec4u(0u, 1u, 2u, 3u); }
fn clamped(source: u32, i: u32, last: u32) -> u32 {
  @if(FULL) if (source == FIRST) { return i; }
  return min(i, last);
}

// four neighbours in a row of `end` elements
fn load_a(source: u32, row: u32, i: u32, end: u32) -> vec4u {
  @if(PLUS) if (source == SECOND) { return bitcast<vec4u>(params.scale2 * load_a2(row * params.lda2, i, end)); }
  let at = row * params.lda + params.a0;
  @if(VEC4_A) return bits_a(a[(at + clamped(source, i, end - 4u)) / 4u]);
  @if(!VEC4_A) let e = at + min(four(i), vec4u(end - 1u));
  @if(!VEC4_A) return bits_a(vec4<ScalarA>(a[e.x], a[e.y], a[e.z], a[e.w]));
}
fn load_b(source: u32, row: u32, i: u32, end: u32) -> vec4u {
  @if(PLUS) if (source == SECOND) { return load_b2(params.b2_0 + row * params.ldb2, i, end); }
  let at = row * params.ldb;
  @if(VEC4_B) return bits_b(b[(at + clamped(source, i, end - 4u)) / 4u]);
  @if(!VEC4_B) let e = at + min(four(i), vec4u(end - 1u));
  @if(!VEC4_B) return bits_b(vec4<ScalarB>(b[e.x], b[e.y], b[e.z], b[e.w]));
}
@if(PLUS) fn load_a2(at: u32, i: u32, end: u32) -> vec4f {
  @if(VEC4_PLUS) return a2[(at + min(i, end - 4u)) / 4u];
  @if(!VEC4_PLUS) let e = at + min(four(i), vec4u(end - 1u));
  @if(!VEC4_PLUS) return vec4f(a2[e.x], a2[e.y], a2[e.z], a2[e.w]);
}
@if(PLUS) fn load_b2(at: u32, i: u32, end: u32) -> vec4u {
  @if(VEC4_PLUS) let v = b2[(at + min(i, end - 4u)) / 4u];
  @if(!VEC4_PLUS) let e = at + min(four(i), vec4u(end - 1u));
  @if(!VEC4_PLUS) let v = vec4f(b2[e.x], b2[e.y], b2[e.z], b2[e.w]);
  @if(F16) seen_b = max(seen_b, magnitude4(v));
  return bits_b(vec4<ScalarB>(v));
}

// four rows of a by four of the depth, or the other way round where memory runs along the rows
fn block_a(source: u32, r: u32, k: u32, depth: u32) -> Block {
  var block: Block;
  @unroll for (var j = 0u; j < 4u; j++) {
    @if(A_DEPTH) block[j] = load_a(source, clamped(source, r + j, params.M - 1u), k, depth);
    @if(!A_DEPTH) block[j] = load_a(source, clamped(source, k + j, depth - 1u), r, params.M);
  }
  return block;
}
fn block_b(source: u32, c: u32, k: u32, depth: u32) -> Block {
  var block: Block;
  @unroll for (var j = 0u; j < 4u; j++) {
    @if(B_DEPTH) block[j] = load_b(source, clamped(source, c + j, params.N - 1u), k, depth);
    @if(!B_DEPTH) block[j] = load_b(source, clamped(source, k + j, depth - 1u), c, params.N);
  }
  return block;
}
