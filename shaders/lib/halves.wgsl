// 16-bit floats stored in pairs, the first of a pair in the low half of its word.

fn bf16_pair(word: u32) -> vec2f {
  return vec2f(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}

fn f16_pair(word: u32) -> vec2f {
  return unpack2x16float(word);
}
