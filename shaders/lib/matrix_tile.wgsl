// What the two sources of matmul_subgroup_matrix share: the product of the staged tiles, and the order of tiles. Plain WGSL, put behind
// that file by src/gpu/plain-wgsl.ts.

// sums += the part of the tiles that the subgroup at `mine` has
fn multiply(mine: vec2u, sums: ptr<function, array<Sums, RM * RN>>) {
  for (var k = 0u; k < BK; k += SK) {
    var left: array<Left, RM>;
    for (var i = 0u; i < RM; i++) {
      left[i] = subgroupMatrixLoad<Left, row_major>(&a_tile, (mine.x + i * SM) * A_ROW + k / 4u, A_ROW);
    }
    for (var j = 0u; j < RN; j++) {
      @if(B_DEPTH) let right = subgroupMatrixLoad<Right, col_major>(&b_tile, (mine.y + j * SN) * B_ROW + k / 4u, B_ROW);
      @if(!B_DEPTH) let right = subgroupMatrixLoad<Right, row_major>(&b_tile, k * B_ROW + (mine.y + j * SN) / 4u, B_ROW);
      for (var i = 0u; i < RM; i++) {
        (*sums)[i * RN + j] = subgroupMatrixMultiplyAccumulate(left[i], right, (*sums)[i * RN + j]);
      }
    }
  }
}

// the magnitudes as bits, as in lib/flags.wgsl
fn magnitude4(v: vec4f) -> vec4u { return bitcast<vec4u>(v) & vec4u(0x7fffffffu); }

// Row and column of the i-th tile, down bands of 8 rows of tiles, as in lib/tiles.wgsl.
fn banded_tile(i: u32, rows: u32, cols: u32) -> vec2u {
  let first = i / (8u * cols) * 8u;
  let height = min(rows - first, 8u);
  let within = i % (8u * cols);
  return vec2u(first + within % height, within / height);
}
