// The rows of a in matmul_subgroup_matrix: eight neighbours along the depth are loaded, and put into workgroup memory,
// at a time. What a lane loads is kept as it lies in memory until it is put: converted earlier, it would have to be
// waited for. Plain WGSL, put behind that file by src/gpu/plain-wgsl.ts.
const A_EIGHTS = BK / EIGHT; // of a row
const A_ROW = A_EIGHTS + 1u; // a staged row; one more keeps rows off the same banks
const A_STEP = LANES / A_EIGHTS; // rows from a lane's load to its next
const A_LOADS = (BM + A_STEP - 1u) / A_STEP;
const A_SIZE = BM * A_ROW;
@if(!WIDE_A) const A_UNIT = 1u;
@if(WIDE_A && !A_F16) const A_UNIT = 4u;
@if(WIDE_A && A_F16) const A_UNIT = 8u;

// also where sums pass through on their way to y
var<workgroup> a_tile: array<vec4u, max(BUFFERS * A_SIZE, WR * WC * SM * SN / 4u)>;

@if(WIDE_A && A_F16) alias EightA = vec4u;
@if(!WIDE_A || !A_F16) struct EightA { low: vec4f, high: vec4f }

struct SlabA { at: array<u32, A_LOADS>, v: array<EightA, A_LOADS> }

// Where the lane's rows start in a, and, where nothing is checked, the lane in them; a row past the last is the last,
// and its sums are not stored.
fn start_a(lane: u32, first_row: u32, slab: ptr<function, SlabA>) {
  @unroll for (var n = 0u; n < A_LOADS; n++) {
    let row = clamped(first_row + lane / A_EIGHTS + n * A_STEP, params.M - 1u);
    (*slab).at[n] = (row * params.lda + params.a0) / A_UNIT;
    @if(FULL) (*slab).at[n] += lane % A_EIGHTS * EIGHT / A_UNIT;
  }
}

// the lane's share of the depth from d on
fn fetch_a(lane: u32, d: u32, slab: ptr<function, SlabA>) {
  @if(FULL) let k = depth_of(d);
  @if(!FULL) let k = d + lane % A_EIGHTS * EIGHT;
  @unroll for (var n = 0u; n < A_LOADS; n++) { (*slab).v[n] = load_a((*slab).at[n], k); }
}
fn load_a(at: u32, k: u32) -> EightA {
  @if(FULL && A_F16) return a[at + k / A_UNIT];
  @if(FULL && !A_F16) return EightA(a[at + k / A_UNIT], a[at + k / A_UNIT + 1u]);
  @if(!FULL && WIDE_A && A_F16) return a[at + min(k, params.K - 8u) / A_UNIT];
  @if(!FULL && WIDE_A && !A_F16) let low = a[at + min(k, params.K - 4u) / A_UNIT];
  @if(!FULL && WIDE_A && !A_F16) let high = a[at + min(k + 4u, params.K - 4u) / A_UNIT];
  @if(!WIDE_A) let low = four_a(at, k);
  @if(!WIDE_A) let high = four_a(at, k + 4u);
  @if(!FULL && !WIDE_A || !FULL && !A_F16) return EightA(low, high);
}

// what fetch_a loaded from depth d on, to f16: zeros past the end, and a look at what f16 may not hold
fn put_a(lane: u32, to: u32, d: u32, slab: ptr<function, SlabA>) {
  let k = d + lane % A_EIGHTS * EIGHT;
  @unroll for (var n = 0u; n < A_LOADS; n++) { put_eight_a(lane, n, to, operand_a((*slab).v[n], k)); }
}
fn operand_a(v: EightA, k: u32) -> vec4u {
  @if(FULL && A_F16) return v;
  @if(!FULL && WIDE_A && A_F16) return select(vec4u(), v, k < params.K);
  @if(FULL && !A_F16) let low = v.low;
  @if(FULL && !A_F16) let high = v.high;
  @if(!FULL && WIDE_A && !A_F16) let low = select(vec4f(), v.low, k < params.K);
  @if(!FULL && WIDE_A && !A_F16) let high = select(vec4f(), v.high, k + 4u < params.K);
  @if(!WIDE_A) let low = select(vec4f(), v.low, four_from(k) < vec4u(params.K));
  @if(!WIDE_A) let high = select(vec4f(), v.high, four_from(k + 4u) < vec4u(params.K));
  @if(!A_F16) see_a(low, high);
  @if(!WIDE_A || !A_F16) return halves(low, high);
}
fn put_eight_a(lane: u32, n: u32, to: u32, v: vec4u) {
  let at = to + (lane / A_EIGHTS * A_ROW + lane % A_EIGHTS);
  if (BM % A_STEP == 0u || lane / A_EIGHTS + n * A_STEP < BM) { a_tile[at + n * A_STEP * A_ROW] = v; }
}

fn left_of(at: u32, row: u32, k: u32) -> Left {
  return subgroupMatrixLoad<Left, row_major>(&a_tile, at + row * A_ROW + k / EIGHT, A_ROW);
}
