import package::lib::cursor::cache_row;
import package::lib::grid::flat_index;
import constants::PAGES;
import constants::PAGE_TOKENS;

// cache_append: row (b, cursor[b].x + t) of the cache = row (b, t) of k and of v, for the t below cursor[b].y
//
//   k, v         (B*S, W)  f32  in
//   keys, values (pages * PAGE_TOKENS, W)  f32  out  rows of lib/cursor.wgsl; all others stay as they are
//   cursor (B) vec4u, pages (B, PAGES) u32  in  lib/cursor.wgsl
//
// Grid: one thread per four elements of a row of k; flat.
// Copies: bit-repeatable.
// Host: src/kernels/cache.ts   Reference: test/kernels/cache.test.ts

override WG: u32 = 64u;

struct Params {
  B: u32,
  S: u32,
  W4: u32, // elements of a row, in fours
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> keys: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> values: array<vec4f>;
@group(0) @binding(5) var<storage, read> cursor: array<vec4u>;
@group(0) @binding(6) var<storage, read> pages: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.B * params.S * params.W4) { return; }
  let row = i / params.W4;
  let b = row / params.S;
  let t = row % params.S;
  if (t >= cursor[b].y) { return; }
  let j = cursor[b].x + t;
  let to = cache_row(pages[b * PAGES + j / PAGE_TOKENS], j) * params.W4 + i % params.W4;
  keys[to] = k[i];
  values[to] = v[i];
}
