import package::lib::decode_span::{ span_part, span_start };
import package::lib::grid::flat_index;
import constants::{ D4, SPLITS };

// attention_combine: adds up what attention_decode.wgsl left of each part of the keys: o = sum_i exp(peak_i - peak) part_i / total
//
//   parts  (B*S, H, SPLITS, D)      f32  in
//   stats  (B*S, H, SPLITS)       vec2f  in   the peak and the denominator of a part; parts that no key falls in hold anything
//   o      (B*S, H*D)               f32  out
//   lse    (B*S, H)                 f32  out
//   cursor (B)                    vec4u  in   lib/cursor.wgsl
//
// Grid: one thread per four elements of o; flat.
// Sums in f32 in the order of the parts: bit-repeatable.
// Host: src/kernels/attention-decode.ts   Reference: test/ref/attention.ts

override WG: u32 = 64u;

struct Params { B: u32, S: u32, H: u32, window: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read> stats: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<storage, read> cursor: array<vec4u>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.B * params.S * params.H * D4) { return; }
  let at = i / D4; // index of (query, head)
  let row = at / params.H;
  let s = cursor[row / params.S].x + row % params.S;
  let start = span_start(s, params.window);
  let count = (s - start) / span_part(start, s) + 1u;
  var peak = stats[at * SPLITS].x;
  for (var n = 1u; n < count; n++) { peak = max(peak, stats[at * SPLITS + n].x); }
  var sum = vec4f();
  var total = 0.0;
  for (var n = 0u; n < count; n++) {
    let part = stats[at * SPLITS + n];
    let share = exp(part.x - peak);
    sum += share * parts[(at * SPLITS + n) * D4 + i % D4];
    total += share * part.y;
  }
  o[i] = sum / total;
  if (i % D4 == 0u) { lse[at] = peak + log(total); }
}
