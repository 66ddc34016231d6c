// Loads of w in matmul_subgroup_matrix one by one, where its rows are no multiple of 16 bytes. Plain WGSL, put behind
// that file by src/gpu/plain-wgsl.ts.

// eight neighbours in a line of memory, zeros past its end
fn eight_w(line: u32, i: u32, end: u32) -> vec4u { return halves(four_w(line, i, end), four_w(line, i + 4u, end)); }
fn four_w(line: u32, i: u32, end: u32) -> vec4f {
  var v = vec4f();
  @unroll for (var j = 0u; j < 4u; j++) { v[j] = f32(w[line + min(i + j, end - 1u)]); }
  return select(vec4f(), v, four_from(i) < vec4u(end));
}
