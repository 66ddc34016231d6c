import package::lib::flags::magnitude4;
import package::lib::simt_loads::four;
import package::matmul_simt::{ Block, SECOND, seen_a, seen_b };

// What matmul_simt loaded as bits, as it goes into workgroup memory: zeros past the end of the depth, a vector along
// the tile for each of four of the depth, a look at what f16 may not hold.

@if(FULL) const CHECKED = false;
@if(!FULL) const CHECKED = true;

fn value_a(source: u32, v: vec4u) -> vec4f {
  @if(A_F16) if (source != SECOND) { return vec4f(bitcast<vec4<f16>>(v.xy)); }
  return bitcast<vec4f>(v);
}
@if(B_F16) fn value_b(v: vec4u) -> vec4f { return vec4f(bitcast<vec4<f16>>(v.xy)); }
@if(!B_F16) fn value_b(v: vec4u) -> vec4f { return bitcast<vec4f>(v); }

fn part_a(source: u32, block: Block, k: u32, end: u32) -> mat4x4f {
  var m: mat4x4f;
  @unroll for (var j = 0u; j < 4u; j++) {
    var v = value_a(source, block[j]);
    @if(A_DEPTH) if (CHECKED || source == SECOND) { v = select(vec4f(), v, four(k) < vec4u(end)); }
    @if(!A_DEPTH) if (CHECKED || source == SECOND) { v = select(vec4f(), v, k + j < end); }
    @if(F16) seen_a = max(seen_a, magnitude4(v));
    @if(F16) v = vec4f(vec4<f16>(v));
    m[j] = v;
  }
  @if(A_DEPTH) return transpose(m);
  @if(!A_DEPTH) return m;
}
fn part_b(source: u32, block: Block, k: u32, end: u32) -> mat4x4f {
  var m: mat4x4f;
  @unroll for (var j = 0u; j < 4u; j++) {
    var v = value_b(block[j]);
    @if(B_DEPTH) if (CHECKED || source == SECOND) { v = select(vec4f(), v, four(k) < vec4u(end)); }
    @if(!B_DEPTH) if (CHECKED || source == SECOND) { v = select(vec4f(), v, k + j < end); }
    @if(F16) seen_b = max(seen_b, magnitude4(v));
    m[j] = v;
  }
  @if(B_DEPTH) return transpose(m);
  @if(!B_DEPTH) return m;
}
