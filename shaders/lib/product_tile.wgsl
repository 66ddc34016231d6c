import constants::{ BM, BN, BK, TM, TN };

// The tiles of matmul_simt in workgroup memory, BK of the depth of both operands, and their product: a thread has TM x
// TN sums.
const COLS = BN / TN; // threads side by side
const ROWS = BM / TM;
const A_ROW = BM / 4u + 1u; // one vector of padding keeps columns off the same bank
const B_ROW = BN / 4u + 1u;
const SUMS = TM * TN / 4u; // vectors; only constants may index them, or they lie in memory

var<workgroup> a_tile: array<vec4f, BK * A_ROW>;
var<workgroup> b_tile: array<vec4f, BK * B_ROW>;

// sums += the rows of thread row ty . the columns of thread column tx
fn multiply(tx: u32, ty: u32, sums: ptr<function, array<vec4f, SUMS>>) {
  for (var k = 0u; k < BK; k++) {
    @unroll for (var i = 0u; i < TM / 4u; i++) {
      let left = a_tile[k * A_ROW + i * ROWS + ty];
      @unroll for (var j = 0u; j < TN / 4u; j++) {
        let right = b_tile[k * B_ROW + j * COLS + tx];
        (*sums)[(i * (TN / 4u) + j) * 4u] += left.x * right;
        (*sums)[(i * (TN / 4u) + j) * 4u + 1u] += left.y * right;
        (*sums)[(i * (TN / 4u) + j) * 4u + 2u] += left.z * right;
        (*sums)[(i * (TN / 4u) + j) * 4u + 3u] += left.w * right;
      }
    }
  }
}
