import package::lib::flags::{ FLAG_INPUT, FLAG_WEIGHT, beyond_f16, magnitude4 };
import package::lib::grid::flat_index;
import package::lib::matvec_sum::{ LANES, SUMS, put_sum, sum_over_lanes };
import package::lib::nf4::{ HIGH_CODES, LOW_CODES, byte_of, codes4 };
import constants::{ AHEAD, HALVES, ROWS, T, WORDS };

// matvec_4bit_rows: matvec_4bit for GPUs, ROWS rows of w by a workgroup: y[t, n] = sum_k x[t, k] * w[n, k]
//
//   x      (T, K)    f32         in   F16: x and w pass through f16, as operands of a product do
//   packed (N K / 2) u8 in u32   in   rows of w, element 2k in the high nibble of byte k; 32 elements in a vec4u
//   absmax, codes, nested, tables     in   as in dequant_4bit.wgsl
//   y      (T, N)    f32         out  rows of ldy elements, columns from col0
//   flags  (1)       u32         F16: an operand that f16 does not hold
//
// T, at most 8, is a constant; K is a multiple of 32 and Q a power of two, at least 32: the 16 bytes of a load are of one row and block.
// Grid: a workgroup of 64 per ROWS rows of w, whose lanes take neighbouring vectors; each x that is loaded serves all of the rows.
// Sums in f32: of a lane in order of k, then over the lanes in a fixed order: bit-repeatable.
// Host: src/kernels/matvec-4bit.ts   Reference: test/kernels/matvec-4bit.test.ts

@if(F16) enable f16;

struct Params {
  N: u32,
  K: u32,
  first_block: u32, // block of w's first element within its tensor
  block_shift: u32, // log2 of Q
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

// Values of the codes, in a bank each, so that lanes with any codes read at once; with DOUBLE those of the absmax codes behind them.
@if(DOUBLE) const VALUES = 272u;
@if(!DOUBLE) const VALUES = 16u;
var<workgroup> values: array<f32, VALUES>;
// the largest magnitudes that became operands
@if(F16) var<private> seen_x: vec4u;
@if(F16) var<private> seen_w: vec4u;

// SCALED: with their scale, and for F16 as dequant_4bit rounds them; else the scale is multiplied with the sum over a word
fn values4(word: u32, shifts: vec4u, scale: f32) -> vec4f {
  let code = codes4(word, shifts);
  var v = vec4f(values[code.x], values[code.y], values[code.z], values[code.w]);
  @if(SCALED) v *= scale;
  @if(F16) seen_w = max(seen_w, magnitude4(v));
  @if(F16) return vec4f(vec4h(v));
  @if(!F16) return v;
}

fn plus_dot(sum: f32, a: vec4f, b: vec4f) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
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
  for (var i = lane; i < VALUES; i += LANES) { values[i] = tables[i]; }
  workgroupBarrier();
  @if(DOUBLE) let offset = nested[params.offset_at];
  let vectors = params.K / 32u;
  var sums: array<f32, SUMS>;
  for (var k = lane; k < vectors; k += LANES) {
    var words: array<vec4u, ROWS>;
    // scales of the blocks: all loads are issued before the first of them is looked at
    @if(DOUBLE) var bytes: array<u32, ROWS>;
    var scales: array<f32, ROWS>;
    @unroll for (var r = 0u; r < ROWS; r++) {
      // the last rows of w may be short of ROWS: they are read again, and not stored
      let at = min(first + r, params.N - 1u) * vectors + k;
      let block = params.first_block + ((32u * at) >> params.block_shift);
      words[r] = packed[at];
      @if(DOUBLE) bytes[r] = codes[block / 4u];
      @if(DOUBLE) scales[r] = nested[block / 256u];
      @if(!DOUBLE) scales[r] = absmax[block];
    }
    // where this stays a loop, it keeps compilers from loading x of all four words at once, for which registers have no place
    for (var j = 0u; j < 4u; j += AHEAD) {
      @unroll for (var i0 = 0u; i0 < AHEAD; i0 += WORDS) {
        @unroll for (var h = 0u; h < 2u; h += HALVES) {
          // x of WORDS words, or of half of one, is on its way at once
          var xs: array<vec4f, HALVES * WORDS * T>;
          @unroll for (var t = 0u; t < T; t++) {
            @unroll for (var i = 0u; i < HALVES * WORDS; i++) {
              xs[t * HALVES * WORDS + i] = load_x((t * vectors + k) * 8u + 2u * (j + i0) + h + i);
            }
          }
          @if(DOUBLE) if (j + i0 + h == 0u) {
            @unroll for (var r = 0u; r < ROWS; r++) {
              let at = min(first + r, params.N - 1u) * vectors + k;
              let block = params.first_block + ((32u * at) >> params.block_shift);
              scales[r] = values[16u + byte_of(bytes[r], block)] * scales[r] + offset;
            }
          }
          @unroll for (var i = 0u; i < WORDS; i++) {
            @unroll for (var r = 0u; r < ROWS; r++) {
              let word = words[r][j + i0 + i];
              let v = values4(word, select(LOW_CODES, HIGH_CODES, h == 1u), scales[r]);
              @if(WHOLE) let high = values4(word, HIGH_CODES, scales[r]);
              @unroll for (var t = 0u; t < T; t++) {
                let at = HALVES * (t * WORDS + i);
                let to = t * ROWS + r;
                @if(SCALED) sums[to] = plus_dot(sums[to], xs[at], v);
                @if(SCALED && WHOLE) sums[to] = plus_dot(sums[to], xs[at + 1u], high);
                @if(!SCALED) sums[to] += (dot(xs[at], v) + dot(xs[at + 1u], high)) * scales[r];
              }
            }
          }
        }
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
