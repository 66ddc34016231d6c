// Philox4x32-10 (Salmon and others, SC 2011), bit for bit the twin of src/kernels/philox.ts.

// High and low word of a 32x32-bit product: WGSL has no 64-bit integers, so it is put together from 16-bit halves.
fn multiply_wide(a: u32, b: u32) -> vec2u {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let low = a0 * b0;
  let middle = a1 * b0 + (low >> 16u); // at most (2^16-1)^2 + 2^16 - 1: no overflow
  let cross = a0 * b1 + (middle & 0xffffu);
  return vec2u(a1 * b1 + (middle >> 16u) + (cross >> 16u), a * b);
}

fn philox4x32(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    let x = multiply_wide(0xd2511f53u, c.x);
    let z = multiply_wide(0xcd9e8d57u, c.z);
    c = vec4u(z.x ^ c.y ^ k.x, z.y, x.x ^ c.w ^ k.y, x.y);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}
