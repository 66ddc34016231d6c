// Values of a word of packed 4-bit codes: element 2k is in the high nibble of byte k.
const LOW_CODES = vec4u(4u, 0u, 12u, 8u);    // shifts of elements 0 to 3
const HIGH_CODES = vec4u(20u, 16u, 28u, 24u); // and of 4 to 7

fn codes4(word: u32, shifts: vec4u) -> vec4u {
  return (vec4u(word) >> shifts) & vec4u(0xfu);
}

// Byte i of bytes packed in words.
fn byte_of(word: u32, i: u32) -> u32 {
  return (word >> (i % 4u * 8u)) & 0xffu;
}
