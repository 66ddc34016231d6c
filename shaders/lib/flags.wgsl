// Bits of the word in which kernels say what went wrong: its twin is FLAG in src/kernels/flags.ts. A kernel that raises one binds
//   var<storage, read_write> flags: atomic<u32>
const FLAG_INPUT = 1u;  // an activation or gradient beyond f16's range, or not finite, became an operand of a product
const FLAG_WEIGHT = 2u; // the same of a weight

const F16_LARGEST = 0x477fe000u; // 65504.0 as f32 bits; of positive floats the larger has the larger bits, NaN the largest

// The magnitudes as bits: a maximum over these sees NaN, which one over floats may not.
fn magnitude4(v: vec4f) -> vec4u {
  return bitcast<vec4u>(v) & vec4u(0x7fffffffu);
}

fn beyond_f16(magnitudes: vec4u) -> bool {
  return any(magnitudes > vec4u(F16_LARGEST));
}
