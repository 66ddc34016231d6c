// w in matmul_subgroup_matrix, staged as it lies in memory: its lines run along the depth with B_DEPTH, else along the
// columns. Eight neighbours are loaded and put at a time. Plain WGSL, put behind that file by src/gpu/plain-wgsl.ts.
@if(B_DEPTH) const W_LINE = BK;
@if(B_DEPTH) const W_LINES = BN;
@if(!B_DEPTH) const W_LINE = BN;
@if(!B_DEPTH) const W_LINES = BK;
const W_EIGHTS = W_LINE / EIGHT;
const W_ROW = W_EIGHTS + 1u; // one more keeps lines off the same banks
const W_STEP = LANES / W_EIGHTS; // lines from a lane's load to its next
const W_LOADS = (W_LINES + W_STEP - 1u) / W_STEP;
const W_SIZE = W_LINES * W_ROW;
@if(!WIDE_W) const W_UNIT = 1u;
@if(WIDE_W) const W_UNIT = 8u;

var<workgroup> w_tile: array<vec4u, BUFFERS * W_SIZE>;

struct SlabW { at: array<u32, W_LOADS>, v: array<vec4u, W_LOADS> }

// Line n of the lane, and the place in it that it loads from: a column and a depth with B_DEPTH, else a depth and a
// column.
fn line_w(lane: u32, n: u32) -> u32 { return lane / W_EIGHTS + n * W_STEP; }
fn place_w(lane: u32) -> u32 { return lane % W_EIGHTS * EIGHT; }

// Where in w the lane's columns are, and, where nothing is checked, the lane among them; a column past the last is the
// last, and its sums are not stored.
fn start_w(lane: u32, first_col: u32, slab: ptr<function, SlabW>) {
  @unroll for (var n = 0u; n < W_LOADS; n++) {
    @if(B_DEPTH) (*slab).at[n] = clamped(first_col + line_w(lane, n), params.N - 1u) * params.ldb / W_UNIT;
    @if(B_DEPTH && FULL) (*slab).at[n] += place_w(lane) / W_UNIT;
    @if(!B_DEPTH && !WIDE_W) (*slab).at[n] = first_col + place_w(lane);
    @if(!B_DEPTH && WIDE_W) (*slab).at[n] = clamped(first_col + place_w(lane), params.N - 8u) / W_UNIT;
    @if(!B_DEPTH && FULL) (*slab).at[n] += line_w(lane, n) * params.ldb / W_UNIT;
  }
}

// the lane's share of the depth from d on
fn fetch_w(lane: u32, d: u32, slab: ptr<function, SlabW>) {
  @unroll for (var n = 0u; n < W_LOADS; n++) { (*slab).v[n] = load_w((*slab).at[n], depth_of(d), lane, n); }
}
fn load_w(at: u32, d: u32, lane: u32, n: u32) -> vec4u {
  @if(B_DEPTH && FULL) return w[at + d / W_UNIT];
  @if(B_DEPTH && !FULL && WIDE_W) return w[at + min(depth_w(lane, n, d), params.K - 8u) / W_UNIT];
  @if(B_DEPTH && !WIDE_W) return eight_w(at, depth_w(lane, n, d), params.K);
  @if(!B_DEPTH && FULL) return w[at + d * params.ldb / W_UNIT];
  @if(!B_DEPTH && !FULL) let line = min(depth_w(lane, n, d), params.K - 1u) * params.ldb / W_UNIT;
  @if(!B_DEPTH && !FULL && WIDE_W) return w[at + line];
  @if(!B_DEPTH && !WIDE_W) return eight_w(line, at, params.N);
}
// the depth of the first of what fetch_w loads
fn depth_w(lane: u32, n: u32, d: u32) -> u32 {
  @if(B_DEPTH) return d + place_w(lane);
  @if(!B_DEPTH) return d + line_w(lane, n);
}

// what fetch_w loaded from depth d on; zeros past its end
fn put_w(lane: u32, to: u32, d: u32, slab: ptr<function, SlabW>) {
  @unroll for (var n = 0u; n < W_LOADS; n++) {
    let v = (*slab).v[n];
    @if(WATCH_W) see_w(v);
    @if(FULL) put_line_w(lane, n, to, v);
    @if(!FULL) put_line_w(lane, n, to, select(vec4u(), v, depth_w(lane, n, d) < params.K));
  }
}
fn put_line_w(lane: u32, n: u32, to: u32, v: vec4u) {
  let at = to + (lane / W_EIGHTS * W_ROW + lane % W_EIGHTS);
  if (W_LINES % W_STEP == 0u || line_w(lane, n) < W_LINES) { w_tile[at + n * W_STEP * W_ROW] = v; }
}

fn right_at(col: u32) -> u32 {
  @if(B_DEPTH) return col * W_ROW;
  @if(!B_DEPTH) return col / EIGHT;
}
fn right_of(at: u32, col: u32, k: u32) -> Right {
  @if(B_DEPTH) return subgroupMatrixLoad<Right, col_major>(&w_tile, at + right_at(col) + k / EIGHT, W_ROW);
  @if(!B_DEPTH) return subgroupMatrixLoad<Right, row_major>(&w_tile, at + k * W_ROW + right_at(col), W_ROW);
}
