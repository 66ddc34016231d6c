import package::lib::flags::{ FLAG_INPUT, FLAG_WEIGHT, beyond_f16, magnitude4 };
import package::lib::grid::flat_index;
import package::lib::matvec_sum::{ LANES, SUMS, put_sum, sum_over_lanes };
import package::lib::nf4::{ HIGH_CODES, LOW_CODES, byte_of, codes4 };
import constants::{ ROWS, T };

// matvec_4bit_rows: matvec_4bit for GPUs, ROWS rows of w by a workgroup: y[t, n] = sum_k x[t, k] * w[n, k]
//
//   x      (T, K)    f32         in   F16: x and w pass through f16, as operands of a product do
//   packed (N K / 2) u8 in u32   in   rows of w, element 2k in the high nibble of byte k; 32 elements in a vec4u
//   absmax, codes, nested, tables     in   as in dequant_4bit.wgsl
//   y      (T, N)    f32         out  rows of ldy elements, columns from col0
//   flags  (1)       u32         F16: an operand that f16 does not hold
//
// T, at most 8, is a constant; K and Q are multiples of 32, so that the 16 bytes of a load are of one row and one block.
// Grid: a workgroup of 64 per ROWS rows of w, whose lanes take neighbouring vectors; each x that is loaded serves all of the rows.
// Sums in f32: of a lane in order of k, then over the lanes in a fixed order: bit-repeatable.
// Host: src/kernels/matvec-4bit.ts   Reference: test/kernels/matvec-4bit.test.ts

@if(F16) enable f16;

struct Params {
  N: u32,
  K: u32,
  first_block: u32, // block of w's first element within its tensor
  Q: u32,
  offset_at: u32,   // index of the offset in nested; unused without DOUBLE
  ldy: u32,
  col0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> packed: array<vec4u>;
@if(DOUBLE) @group(0) @binding(3) var<storage, read> codes: array<u32>;
@if(DOUBLE) @group(0) @binding(4) var<storage, read> nested: array<f32>;
@if(!DOUBLE) @group(0) @binding(3) var<storage, read> absmax: array<f32>;
@group(0) @binding(5) var<storage, read> tables: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@if(F16) @group(0) @binding(7) var<storage, read_write> flags: atomic<u32>;

var<workgroup> values: array<f32, 16>; // of the codes: in a bank each, so that lanes with any codes read at once
// the largest magnitudes that became operands
@if(F16) var<private> seen_x: vec4u;
@if(F16) var<private> seen_w: vec4u;

fn scale_of(block: u32) -> f32 {
  @if(DOUBLE) return tables[16u + byte_of(codes[block / 4u], block)] * nested[block / 256u] + nested[params.offset_at];
  @if(!DOUBLE) return absmax[block];
}

fn values4(word: u32, shifts: vec4u, scale: f32) -> vec4f {
  let code = codes4(word, shifts);
  let v = vec4f(values[code.x], values[code.y], values[code.z], values[code.w]) * scale;
  @if(F16) seen_w = max(seen_w, magnitude4(v));
  @if(F16) return vec4f(vec4h(v));
  @if(!F16) return v;
}

fn load_x(at: u32) -> vec4f {
  let v = x[at];
  @if(F16) seen_x = max(seen_x, magnitude4(v));
  @if(F16) return vec4f(vec4h(v));
  @if(!F16) return v;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = flat_index(wg, grid, 0u, 1u) * ROWS;
  if (first >= params.N) { return; }
  if (lane < 16u) { values[lane] = tables[lane]; }
  workgroupBarrier();
  let vectors = params.K / 32u;
  var sums: array<f32, SUMS>;
  for (var k = lane; k < vectors; k += LANES) {
    var words: array<vec4u, ROWS>;
    var scales: array<f32, ROWS>;
    @unroll for (var r = 0u; r < ROWS; r++) {
      // the last rows of w may be short of ROWS: they are read again, and not stored
      let at = min(first + r, params.N - 1u) * vectors + k;
      words[r] = packed[at];
      scales[r] = scale_of(params.first_block + 32u * at / params.Q);
    }
    @unroll for (var i = 0u; i < 4u; i++) {
      var low: array<vec4f, ROWS>;
      var high: array<vec4f, ROWS>;
      @unroll for (var r = 0u; r < ROWS; r++) {
        low[r] = values4(words[r][i], LOW_CODES, scales[r]);
        high[r] = values4(words[r][i], HIGH_CODES, scales[r]);
      }
      @unroll for (var t = 0u; t < T; t++) {
        let at = (t * vectors + k) * 8u + 2u * i;
        let a = load_x(at);
        let b = load_x(at + 1u);
        @unroll for (var r = 0u; r < ROWS; r++) { sums[t * ROWS + r] += dot(a, low[r]) + dot(b, high[r]); }
      }
    }
  }
  @if(F16) if (beyond_f16(seen_x)) { atomicOr(&flags, FLAG_INPUT); }
  @if(F16) if (beyond_f16(seen_w)) { atomicOr(&flags, FLAG_WEIGHT); }
  @unroll for (var i = 0u; i < SUMS; i++) { put_sum(lane, i, sums[i]); }
  let sum = sum_over_lanes(lane);
  let n = first + lane % ROWS;
  if (lane < SUMS && n < params.N) { y[lane / ROWS * params.ldy + params.col0 + n] = sum; }
}
