// The last vector of a buffer whose length is no multiple of it: the first `count` elements are new, what follows stays.
fn tail4(value: vec4f, old: vec4f, count: u32) -> vec4f {
  return select(old, value, vec4u(0u, 1u, 2u, 3u) < vec4u(count));
}

// The same for eight 16-bit floats, two to a word, the first in its lower half.
fn tail_halves(value: vec4u, old: vec4u, count: u32) -> vec4u {
  let in_word = clamp(vec4i(i32(count)) - vec4i(0, 2, 4, 6), vec4i(), vec4i(2));
  let lower = select(vec4u(), vec4u(0xffffu), in_word >= vec4i(1));
  let mask = lower | select(vec4u(), vec4u(0xffff0000u), in_word == vec4i(2));
  return (value & mask) | (old & ~mask);
}
