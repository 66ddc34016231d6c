import constants::T;
import package::lib::flags::{ FLAG_INPUT, FLAG_WEIGHT, beyond_f16, magnitude4 };
import package::lib::grid::flat_index;
import package::lib::nf4::{ HIGH_CODES, LOW_CODES, byte_of, codes4 };
// matvec_4bit: y[t, n] = sum_k x[t, k] * w[n, k]   with w decoded as dequant_4bit does, and never written
//
//   x      (T, K)    f32         in   F16: x and w pass through f16, as operands of a product do
//   packed (N K / 2) u8 in u32   in   rows of w, element 2k in the high nibble of byte k
//   absmax, codes, nested, tables     in   as in dequant_4bit.wgsl
//   y      (T, N)    f32         out  rows of ldy elements, columns from col0
//   flags  (1)       u32         F16: an operand that f16 does not hold
//
// T, at most 8, is a constant of the shader; K is a multiple of 8, so that a word is of one row and one block.
// Grid: one thread per row of w.
// Sums in f32 in order of k: bit-repeatable.
// Host: src/kernels/matvec-4bit.ts   Reference: test/kernels/matvec-4bit.test.ts

@if(F16) enable f16;

override WG: u32 = 64u;

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
@group(0) @binding(2) var<storage, read> packed: array<u32>;
@if(DOUBLE) @group(0) @binding(3) var<storage, read> codes: array<u32>;
@if(DOUBLE) @group(0) @binding(4) var<storage, read> nested: array<f32>;
@if(!DOUBLE) @group(0) @binding(3) var<storage, read> absmax: array<f32>;
@group(0) @binding(5) var<storage, read> tables: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@if(F16) @group(0) @binding(7) var<storage, read_write> flags: atomic<u32>;

// the largest magnitudes that became operands
@if(F16) var<private> seen_x: vec4u;
@if(F16) var<private> seen_w: vec4u;

fn scale_of(block: u32) -> f32 {
  @if(DOUBLE) return tables[16u + byte_of(codes[block / 4u], block)] * nested[block / 256u] + nested[params.offset_at];
  @if(!DOUBLE) return absmax[block];
}

fn values4(word: u32, shifts: vec4u, scale: f32) -> vec4f {
  let code = codes4(word, shifts);
  let v = vec4f(tables[code.x], tables[code.y], tables[code.z], tables[code.w]) * scale;
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

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = flat_index(wg, grid, lane, WG);
  if (n >= params.N) { return; }
  let words = params.K / 8u;
  var sums: array<f32, T>;
  var block = 0xffffffffu;
  var scale = 0.0;
  for (var k = 0u; k < words; k++) {
    let at = n * words + k;
    let own = params.first_block + 8u * at / params.Q;
    if (own != block) {
      block = own;
      scale = scale_of(block);
    }
    let word = packed[at];
    let low = values4(word, LOW_CODES, scale);
    let high = values4(word, HIGH_CODES, scale);
    for (var t = 0u; t < T; t++) {
      let row = 2u * (t * words + k);
      sums[t] += dot(load_x(row), low) + dot(load_x(row + 1u), high);
    }
  }
  @if(F16) if (beyond_f16(seen_x)) { atomicOr(&flags, FLAG_INPUT); }
  @if(F16) if (beyond_f16(seen_w)) { atomicOr(&flags, FLAG_WEIGHT); }
  for (var t = 0u; t < T; t++) { y[t * params.ldy + params.col0 + n] = sums[t]; }
}
