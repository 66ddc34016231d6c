import package::lib::grid::flat_index;

// token_slots: slots[t] = j where ids[t] = indices[j]; n where no trained token is this one, or with OWNED the adapter is another
//
//   ids     (T)    u32    in
//   indices (n)    u32    in   tokens whose rows are trained, no two equal
//   slots   (T)    u32    out
//   cursor  (T/S)  vec4u  in   OWNED; lib/cursor.wgsl: the third number is a sequence's adapter
//
// Grid: one thread per token; flat.
// Whole numbers: bit-repeatable.
// Host: src/kernels/tokens.ts   Reference: test/kernels/tokens.test.ts

override WG: u32 = 64u;

struct Params {
  T: u32,
  n: u32,
  S: u32, // rows of a sequence; OWNED
  adapter: u32, // OWNED
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> slots: array<u32>;
@if(OWNED) @group(0) @binding(4) var<storage, read> cursor: array<vec4u>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = flat_index(wg, grid, lane, WG);
  if (t >= params.T) { return; }
  var slot = params.n;
  for (var j = 0u; j < params.n; j++) {
    if (indices[j] == ids[t]) { slot = j; break; }
  }
  @if(OWNED) if (cursor[t / params.S].z != params.adapter) { slot = params.n; }
  slots[t] = slot;
}
