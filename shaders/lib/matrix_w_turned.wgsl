// w in matmul_subgroup_matrix where its lines run along the columns, turned on its way into workgroup memory so that
// they run along the depth there: a matrix whose lines run along the columns is gathered by halves on AMD. A lane loads
// eight columns of two lines and puts eight pairs. Plain WGSL, put behind that file by src/gpu/plain-wgsl.ts.
const W_EIGHTS = BN / EIGHT; // of a line in memory
const W_PAIRS = BK / 2u;
const W_STEP = LANES / W_EIGHTS; // pairs of lines from a lane's load to its next
const W_LOADS = (W_PAIRS + W_STEP - 1u) / W_STEP;
const W_ROW = BK / 2u + 4u; // words of a staged column; one vector more keeps columns off the same banks
const W_SIZE = BN * W_ROW;
// Lanes side by side that have pairs side by side: fewer meet at a bank when they put, more lines of memory are read at
// once.
const W_TOGETHER = 8u;

var<workgroup> w_tile: array<u32, BUFFERS * W_SIZE>;

struct SlabW { at: array<u32, W_LOADS>, v: array<vec4u, 2u * W_LOADS> }

// the lane's n-th pair of lines, without what a whole step of them adds
fn pair_w(lane: u32) -> u32 { return lane / (W_TOGETHER * W_EIGHTS) * W_TOGETHER + lane % W_TOGETHER; }
fn column_w(lane: u32) -> u32 { return lane / W_TOGETHER % W_EIGHTS * EIGHT; }

// Where in w the lane's columns are, and, where nothing is checked, its lines; columns past the last are the last
// eight, and their sums are not stored.
fn start_w(lane: u32, first_col: u32, slab: ptr<function, SlabW>) {
  @unroll for (var n = 0u; n < W_LOADS; n++) {
    (*slab).at[n] = clamped(first_col + column_w(lane), params.N - 8u) / EIGHT;
    @if(FULL) (*slab).at[n] += 2u * (pair_w(lane) + n * W_STEP) * params.ldb / EIGHT;
  }
}

// the lane's share of the depth from d on
fn fetch_w(lane: u32, d: u32, slab: ptr<function, SlabW>) {
  @unroll for (var n = 0u; n < W_LOADS; n++) {
    @unroll for (var odd = 0u; odd < 2u; odd++) {
      @if(FULL) let line = (depth_of(d) + odd) * params.ldb / EIGHT;
      @if(!FULL) let line = min(depth_w(lane, n, d) + odd, params.K - 1u) * params.ldb / EIGHT;
      (*slab).v[2u * n + odd] = w[line + (*slab).at[n]];
    }
  }
}
fn depth_w(lane: u32, n: u32, d: u32) -> u32 { return d + 2u * (pair_w(lane) + n * W_STEP); }

// what fetch_w loaded from depth d on; zeros past its end
fn put_w(lane: u32, to: u32, d: u32, slab: ptr<function, SlabW>) {
  @unroll for (var n = 0u; n < W_LOADS; n++) {
    var even = (*slab).v[2u * n];
    var odd = (*slab).v[2u * n + 1u];
    @if(WATCH_W) see_w(even);
    @if(WATCH_W) see_w(odd);
    @if(!FULL) even = select(vec4u(), even, depth_w(lane, n, d) < params.K);
    @if(!FULL) odd = select(vec4u(), odd, depth_w(lane, n, d) + 1u < params.K);
    put_pairs_w(lane, n, to, even, odd);
  }
}
fn put_pairs_w(lane: u32, n: u32, to: u32, even: vec4u, odd: vec4u) {
  if (W_PAIRS % W_STEP != 0u && pair_w(lane) + n * W_STEP >= W_PAIRS) { return; }
  let at = to + (column_w(lane) * W_ROW + pair_w(lane)) + n * W_STEP;
  @unroll for (var q = 0u; q < 4u; q++) {
    w_tile[at + 2u * q * W_ROW] = (even[q] & 0xffffu) | (odd[q] << 16u);
    w_tile[at + (2u * q + 1u) * W_ROW] = (even[q] >> 16u) | (odd[q] & 0xffff0000u);
  }
}
fn right_at(col: u32) -> u32 { return col * W_ROW; }
fn right_of(at: u32, col: u32, k: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&w_tile, at + right_at(col) + k / 2u, W_ROW);
}
