import package::lib::flags::{ FLAG_INPUT, FLAG_WEIGHT, beyond_f16, magnitude4 };
import package::lib::grid::flat_index;
import package::lib::halves::{ bf16_pair, f16_pair };
import package::lib::matvec_sum::{ LANES, SUMS, put_sum, sum_over_lanes };
import constants::{ ROWS, T };

// matvec_16bit: y[t, n] = sum_k x[t, k] * w[n, k]   with w widened on the way, and never written
//
//   x     (T, K)  f32          in   F16: x and w pass through f16, as operands of a product do
//   w     (N, K)  bf16 or f16  in   eight in a vec4u, the lower half of a word first; BF16: bfloat16
//   y     (T, N)  f32          out  rows of ldy elements, columns from col0
//   flags (1)     u32          F16: an operand that f16 does not hold
//
// T, at most 8, is a constant; K is a multiple of 8, so that the 16 bytes of a load are of one row.
// Grid: a workgroup of 64 per ROWS rows of w, whose lanes take neighbouring vectors; each x that is loaded serves all of the rows.
// Sums in f32: of a lane in order of k, then over the lanes in a fixed order: bit-repeatable.
// Host: src/kernels/matvec-16bit.ts   Reference: test/kernels/matvec-16bit.test.ts

@if(F16) enable f16;

struct Params {
  N: u32,
  K: u32,
  ldy: u32,
  col0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> w: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@if(F16) @group(0) @binding(4) var<storage, read_write> flags: atomic<u32>;

// the largest magnitudes that became operands
@if(F16) var<private> seen_x: vec4u;
@if(F16) var<private> seen_w: vec4u;

fn values4(words: vec2u) -> vec4f {
  @if(BF16) let v = vec4f(bf16_pair(words.x), bf16_pair(words.y));
  @if(!BF16) let v = vec4f(f16_pair(words.x), f16_pair(words.y));
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
  let vectors = params.K / 8u;
  var sums: array<f32, SUMS>;
  for (var k = lane; k < vectors; k += LANES) {
    var words: array<vec4u, ROWS>;
    // the last rows of w may be short of ROWS: they are read again, and not stored
    @unroll for (var r = 0u; r < ROWS; r++) { words[r] = w[min(first + r, params.N - 1u) * vectors + k]; }
    var xs: array<vec4f, 2u * T>;
    @unroll for (var t = 0u; t < T; t++) {
      xs[2u * t] = load_x(2u * (t * vectors + k));
      xs[2u * t + 1u] = load_x(2u * (t * vectors + k) + 1u);
    }
    @unroll for (var r = 0u; r < ROWS; r++) {
      let low = values4(words[r].xy);
      let high = values4(words[r].zw);
      @unroll for (var t = 0u; t < T; t++) { sums[t * ROWS + r] += dot(xs[2u * t], low) + dot(xs[2u * t + 1u], high); }
    }
  }
  @if(F16) if (beyond_f16(seen_x)) { atomicOr(&flags, FLAG_INPUT); }
  @if(F16) if (beyond_f16(seen_w)) { atomicOr(&flags, FLAG_WEIGHT); }
  @unroll for (var i = 0u; i < SUMS; i++) { put_sum(lane, i, sums[i]); }
  let sum = sum_over_lanes(lane);
  let n = first + lane % ROWS;
  if (lane < SUMS && n < params.N) { y[lane / ROWS * params.ldy + params.col0 + n] = sum; }
}
