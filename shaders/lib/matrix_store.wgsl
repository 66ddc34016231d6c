// Sums of matmul_subgroup_matrix that cannot go to y as they are: to f16, at its edges, with a bias, scaled and added,
// or in rows that matrices cannot be stored to. A matrix of each subgroup at a time passes through workgroup memory,
// where its elements are in reach. Plain WGSL, put behind that file by src/gpu/plain-wgsl.ts.
const MATRIX_FOURS = SM * SN / 4u;
const MATRIX_LOADS = (MATRIX_FOURS + SG - 1u) / SG;

fn store_checked(lane: u32, subgroup: u32, tile: vec2u, sums: ptr<function, Tile>) {
  @unroll for (var i = 0u; i < RM; i++) {
    @unroll for (var j = 0u; j < RN; j++) {
      let scaled = subgroupMatrixScalarMultiply((*sums)[i * RN + j], params.scale);
      subgroupMatrixStore<row_major>(&a_tile, subgroup * MATRIX_FOURS, scaled, SN / 4u);
      workgroupBarrier();
      let first = tile + vec2u((lane / SG / WC * RM + i) * SM, (lane / SG % WC * RN + j) * SN);
      for (var n = 0u; n < MATRIX_LOADS; n++) { store_four(lane / SG, n * SG + lane % SG, first); }
      workgroupBarrier();
    }
  }
}
fn store_four(owner: u32, e: u32, first: vec2u) {
  let r = first.x + e * 4u / SN;
  let c = first.y + e * 4u % SN;
  if (e >= MATRIX_FOURS || r >= params.M) { return; }
  let v = bitcast<vec4f>(a_tile[owner * MATRIX_FOURS + e]);
  let at = r * params.ldy + params.y0 + c;
  @if(!Y_F16) for (var j = 0u; j < 4u && c + j < params.N; j++) { store_one(at + j, c + j, v[j]); }
  @if(Y_F16) if (c < params.N) { y[at / 4u] = rounded(c, v); }
}
fn store_one(at: u32, c: u32, v: f32) {
  var value = v;
  @if(BIAS) value += bias[params.bias0 + c];
  @if(!Y_F16) if (params.accumulate == 1u) { y[at] += value; } else { y[at] = value; }
}
// Four neighbours in f16, flagged on their f32 bits where it does not hold them.
fn rounded(c: u32, v: vec4f) -> vec4<f16> {
  var value = v;
  @if(BIAS) let b = params.bias0 + c;
  @if(BIAS) value += vec4f(bias[b], bias[b + 1u], bias[b + 2u], bias[b + 3u]);
  @if(Y_F16) if (any(magnitude4(value) > vec4u(0x477fe000u))) { atomicOr(&flags, 1u); }
  return vec4<f16>(value);
}

// Never runs, as y in f16 is not added to: Mesa's compiler for NVIDIA (26.1) keeps sums side by side in registers where
// they could come from memory; where they all start as zeros it moves them in every round, 11 copies for each product.
fn keep_together(subgroup: u32, sums: ptr<function, Tile>) {
  @unroll for (var i = 0u; i < RM; i++) {
    @unroll for (var j = 0u; j < RN; j++) {
      (*sums)[i * RN + j] = subgroupMatrixLoad<Sums, row_major>(&a_tile, subgroup * MATRIX_FOURS + i * RN + j, SN / 4u);
    }
  }
}
