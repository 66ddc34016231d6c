// Loads of matmul_subgroup_matrix ahead of their use: what the next round stages travels into registers while this one multiplies. Plain
// WGSL, put behind that file by src/gpu/plain-wgsl.ts.
const A_LOADS = (BM * (BK / 4u) + LANES - 1u) / LANES;
const B_LOADS = (B_LINES * (B_LINE / 4u) + LANES - 1u) / LANES;

struct Slab { a: array<vec4<f16>, A_LOADS>, b: array<vec4<f16>, B_LOADS> }

// the lane's share of the depth from d on; zeros past its end
fn fetch(lane: u32, tile: vec2u, d: u32, slab: ptr<function, Slab>) {
  for (var n = 0u; n < A_LOADS; n++) {
    let i = lane + n * LANES;
    let v = load_a(tile.x + i / (BK / 4u), d + i % (BK / 4u) * 4u);
    seen_a = max(seen_a, magnitude4(v));
    (*slab).a[n] = vec4<f16>(v);
  }
  for (var n = 0u; n < B_LOADS; n++) {
    let i = lane + n * LANES;
    let at = vec2u(i / (B_LINE / 4u), i % (B_LINE / 4u));
    @if(B_DEPTH) let v = load_w(tile.y + at.x, d + at.y * 4u, params.C, params.D);
    @if(!B_DEPTH) let v = load_w(d + at.x, tile.y + at.y * 4u, params.D, params.C);
    seen_w = max(seen_w, magnitude4(vec4f(v)));
    (*slab).b[n] = v;
  }
}

fn put(lane: u32, slab: ptr<function, Slab>) {
  for (var n = 0u; n < A_LOADS; n++) {
    let i = lane + n * LANES;
    if (i < BM * (BK / 4u)) { a_tile[i / (BK / 4u) * A_ROW + i % (BK / 4u)] = (*slab).a[n]; }
  }
  for (var n = 0u; n < B_LOADS; n++) {
    let i = lane + n * LANES;
    if (i < B_LINES * (B_LINE / 4u)) { b_tile[i / (B_LINE / 4u) * B_ROW + i % (B_LINE / 4u)] = (*slab).b[n]; }
  }
}
