// The second source of matmul_subgroup_matrix, LoRA's: both operands are f32 in memory and pass through the same tiles, rounded to f16 on
// their way. Plain WGSL, put behind that file by src/gpu/plain-wgsl.ts.
@if(VEC4_PLUS) @group(0) @binding(6) var<storage, read> a2: array<vec4f>;
@if(!VEC4_PLUS) @group(0) @binding(6) var<storage, read> a2: array<f32>;
@if(VEC4_PLUS) @group(0) @binding(7) var<storage, read> b2: array<vec4f>;
@if(!VEC4_PLUS) @group(0) @binding(7) var<storage, read> b2: array<f32>;

// four neighbours in memory, zeros past either end
fn load_a2(outer: u32, inner: u32) -> vec4f {
  let at = outer * params.lda2 + inner;
  var v = vec4f();
  if (outer >= params.R) { return v; }
  @if(VEC4_PLUS) if (inner < params.D2) { v = a2[at / 4u]; }
  @if(!VEC4_PLUS) for (var j = 0u; j < 4u && inner + j < params.D2; j++) { v[j] = a2[at + j]; }
  return v * params.scale2;
}
fn load_b2(outer: u32, inner: u32, outer_end: u32, inner_end: u32) -> vec4f {
  let at = params.b2_0 + outer * params.ldb2 + inner;
  var v = vec4f();
  if (outer >= outer_end) { return v; }
  @if(VEC4_PLUS) if (inner < inner_end) { v = b2[at / 4u]; }
  @if(!VEC4_PLUS) for (var j = 0u; j < 4u && inner + j < inner_end; j++) { v[j] = b2[at + j]; }
  return v;
}

fn stage_second(lane: u32, tile: vec2u, d: u32) {
  for (var i = lane; i < BM * (BK / 4u); i += LANES) {
    let v = load_a2(tile.x + i / (BK / 4u), d + i % (BK / 4u) * 4u);
    seen_a = max(seen_a, magnitude4(v));
    a_tile[i / (BK / 4u) * A_ROW + i % (BK / 4u)] = vec4<f16>(v);
  }
  for (var i = lane; i < B_LINES * (B_LINE / 4u); i += LANES) {
    let at = vec2u(i / (B_LINE / 4u), i % (B_LINE / 4u));
    @if(B_DEPTH) let v = load_b2(tile.y + at.x, d + at.y * 4u, params.C, params.D2);
    @if(!B_DEPTH) let v = load_b2(d + at.x, tile.y + at.y * 4u, params.D2, params.C);
    seen_w = max(seen_w, magnitude4(v));
    b_tile[at.x * B_ROW + at.y] = vec4<f16>(v);
  }
}

fn add_second_source(lane: u32, tile: vec2u, mine: vec2u, sums: ptr<function, array<Sums, RM * RN>>) {
  for (var d = 0u; d < params.D2; d += BK) {
    stage_second(lane, tile, d);
    workgroupBarrier();
    multiply(mine, sums);
    workgroupBarrier();
  }
}
