// Loads of a in matmul_subgroup_matrix one by one, where its rows are no multiple of 16 bytes. Plain WGSL, put behind
// that file by src/gpu/plain-wgsl.ts.

// four neighbours along the depth; past its end, the last element again
fn four_a(at: u32, k: u32) -> vec4f {
  var v = vec4f();
  @unroll for (var j = 0u; j < 4u; j++) { v[j] = f32(a[at + min(k + j, params.K - 1u)]); }
  return v;
}
