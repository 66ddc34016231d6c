// Sums of matmul_subgroup_matrix that come from y, and go to it, as matrices. Plain WGSL, put behind that file by
// src/gpu/plain-wgsl.ts.
// y's index where matrix (i, j) of the subgroup at `first` starts
fn matrix_at(first: vec2u, i: u32, j: u32) -> u32 {
  return (first.x + i * SM) * params.ldy + params.y0 + first.y + j * SN;
}
// Sums that go on from y: exact, as the scale is 1 then.
fn load_sums(first: vec2u, sums: ptr<function, Tile>) {
  @unroll for (var i = 0u; i < RM; i++) {
    @unroll for (var j = 0u; j < RN; j++) {
      (*sums)[i * RN + j] = subgroupMatrixLoad<Sums, row_major>(&y, matrix_at(first, i, j), params.ldy);
    }
  }
}
fn store_sums(first: vec2u, sums: ptr<function, Tile>) {
  @unroll for (var i = 0u; i < RM; i++) {
    @unroll for (var j = 0u; j < RN; j++) {
      let scaled = subgroupMatrixScalarMultiply((*sums)[i * RN + j], params.scale);
      subgroupMatrixStore<row_major>(&y, matrix_at(first, i, j), scaled, params.ldy);
    }
  }
}
