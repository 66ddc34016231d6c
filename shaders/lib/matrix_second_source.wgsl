// The second source of matmul_subgroup_matrix, LoRA's: both operands are f32 in memory and pass through the same tiles,
// rounded to f16 on their way. It comes before the first source: behind it, it would need registers beside all the
// sums. Plain WGSL, put behind that file by src/gpu/plain-wgsl.ts.
@if(VEC4_PLUS) alias OfPlus = vec4f;
@if(!VEC4_PLUS) alias OfPlus = f32;
@group(0) @binding(6) var<storage, read> a2: array<OfPlus>;
@group(0) @binding(7) var<storage, read> b2: array<OfPlus>;

// four neighbours along the depth, zeros past its end
fn four_a2(row: u32, k: u32) -> vec4f {
  let at = row * params.lda2;
  @if(VEC4_PLUS) let v = a2[(at + min(k, params.K2 - 4u)) / 4u];
  @if(!VEC4_PLUS) var v = vec4f();
  @if(!VEC4_PLUS) @unroll for (var j = 0u; j < 4u; j++) { v[j] = a2[at + min(k + j, params.K2 - 1u)]; }
  return select(vec4f(), v * params.scale2, four_from(k) < vec4u(params.K2));
}
// Four neighbours in memory: from depth k on of a column with B_DEPTH, else from a column on; zeros past the end of the
// depth.
fn four_b2(col: u32, k: u32) -> vec4f {
  @if(B_DEPTH) let at = params.b2_0 + col * params.ldb2;
  @if(B_DEPTH) let i = k;
  @if(B_DEPTH) let end = params.K2;
  @if(B_DEPTH) let live = four_from(k) < vec4u(params.K2);
  @if(!B_DEPTH) let at = params.b2_0 + min(k, params.K2 - 1u) * params.ldb2;
  @if(!B_DEPTH) let i = col;
  @if(!B_DEPTH) let end = params.N;
  @if(!B_DEPTH) let live = vec4<bool>(k < params.K2);
  @if(VEC4_PLUS) let v = b2[(at + min(i, end - 4u)) / 4u];
  @if(!VEC4_PLUS) var v = vec4f();
  @if(!VEC4_PLUS) @unroll for (var j = 0u; j < 4u; j++) { v[j] = b2[at + min(i + j, end - 1u)]; }
  return select(vec4f(), v, live);
}
fn eight_b2(col: u32, k: u32) -> vec4u {
  let low = four_b2(col, k);
  @if(B_DEPTH) let high = four_b2(col, k + 4u);
  @if(!B_DEPTH) let high = four_b2(col + 4u, k);
  let beyond = any(max(magnitude4(low), magnitude4(high)) > vec4u(0x477fe000u));
  seen_w |= select(0u, 0x8000u, beyond);
  return halves(low, high);
}

// the n-th share of a lane, as fetch_w's
fn put_second_w(lane: u32, n: u32, first_col: u32, d: u32) {
  @if(B_DEPTH) let col = clamped(first_col + line_w(lane, n), params.N - 1u);
  @if(B_DEPTH) put_line_w(lane, n, 0u, eight_b2(col, depth_w(lane, n, d)));
  @if(!B_DEPTH && !TURNED) put_line_w(lane, n, 0u, eight_b2(first_col + place_w(lane), depth_w(lane, n, d)));
  @if(TURNED) let k = depth_w(lane, n, d);
  @if(TURNED) let col = first_col + column_w(lane);
  @if(TURNED) put_pairs_w(lane, n, 0u, eight_b2(col, k), eight_b2(col, k + 1u));
}

fn add_second_source(lane: u32, tile: vec2u, part: vec2u, sums: ptr<function, Tile>) {
  for (var d = 0u; d < params.K2; d += BK) {
    let k = d + lane % A_EIGHTS * EIGHT;
    @unroll for (var n = 0u; n < A_LOADS; n++) {
      let row = clamped(tile.x + lane / A_EIGHTS + n * A_STEP, params.M - 1u);
      let low = four_a2(row, k);
      let high = four_a2(row, k + 4u);
      see_a(low, high);
      put_eight_a(lane, n, 0u, halves(low, high));
    }
    @unroll for (var n = 0u; n < W_LOADS; n++) { put_second_w(lane, n, tile.y, d); }
    workgroupBarrier();
    multiply(part, sums);
    workgroupBarrier();
  }
}
