// Sums of matmul_subgroup_matrix that cannot go to y as they are: at its edges, with a bias, scaled and added, or in
// rows that matrices cannot be stored to. A matrix of each subgroup at a time passes through workgroup memory, where
// its elements are in reach. Plain WGSL, put behind that file by src/gpu/plain-wgsl.ts.
const MATRIX_FOURS = SM * SN / 4u;
const MATRIX_LOADS = (MATRIX_FOURS + SG - 1u) / SG;

fn store_checked(lane: u32, subgroup: u32, tile: vec2u, sums: ptr<function, Tile>) {
  @unroll for (var i = 0u; i < RM; i++) {
    @unroll for (var j = 0u; j < RN; j++) {
      subgroupMatrixStore<row_major>(&a_tile, subgroup * MATRIX_FOURS, (*sums)[i * RN + j], SN / 4u);
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
  let v = bitcast<vec4f>(a_tile[owner * MATRIX_FOURS + e]) * params.scale;
  for (var j = 0u; j < 4u && c + j < params.N; j++) { store_one(r * params.ldy + params.y0 + c + j, c + j, v[j]); }
}
fn store_one(at: u32, c: u32, v: f32) {
  var value = v;
  @if(BIAS) value += bias[params.bias0 + c];
  if (params.accumulate == 1u) { y[at] += value; } else { y[at] = value; }
}
