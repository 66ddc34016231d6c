import package::attention_decode::{ k, pages, params };
import package::lib::cursor::cache_row;
import package::lib::decode_team::TEAM_LANES;
import constants::{ CHUNK, D4, HEADS, PAGES, PAGE_TOKENS, VECTORS };

// Scores of attention_decode: eight lanes share a key and read 128 bytes of it side by side, RUN keys at once; each leaves its part
// of every score in workgroup memory.

const PARTS = 8u;            // lanes that share a key
const KEY_LANES = TEAM_LANES / PARTS;
@if(!NARROW) const RUN = 4u; // keys of a lane at once: few where many heads share them
@if(NARROW) const RUN = 2u;
@if(!NARROW) alias Run = vec4f;
@if(NARROW) alias Run = vec2f;
const RUNS = CHUNK / KEY_LANES / RUN;
const STEPS = (D4 + PARTS - 1u) / PARTS;
const STEPS_AT_ONCE = 4u; // vectors of a key that are on their way at once
const STRIDE = CHUNK * HEADS + 1u; // one more: lanes of a key write to banks of their own
const QUERY = HEADS * STEPS * PARTS;

var<workgroup> vectors: array<vec4f, VECTORS>; // the queries; at the end sums, of which each lane has one
var<workgroup> partial: array<f32, STRIDE * PARTS>; // parts of scores, by lane of a key
var<workgroup> places: array<u32, CHUNK / 4u>;      // rows of the cache, of four keys each

// The products of the keys from j on with all heads, in parts.
fn score_run(lane: u32, b: u32, from_k: u32, j: u32, last: u32, run: u32) {
  let part = lane % PARTS;
  let row = cache_row(pages[b * PAGES + j / PAGE_TOKENS], j);
  if (part == 0u && run * RUN % 4u == 0u) { places[run * RUN / 4u] = row; }
  let stride = params.K * D4;
  var scores = array<Run, HEADS>();
  @unroll for (var i0 = 0u; i0 < STEPS; i0 += STEPS_AT_ONCE) {
    var keys: array<vec4f, RUN * STEPS_AT_ONCE>;
    @unroll for (var i = 0u; i < STEPS_AT_ONCE; i++) {
      let d = from_k + min((i0 + i) * PARTS + part, D4 - 1u);
      if (i0 + i < STEPS) {
        @unroll for (var r = 0u; r < RUN; r++) { keys[RUN * i + r] = k[(row + min(r, last - j)) * stride + d]; }
      }
    }
    @unroll for (var i = 0u; i < STEPS_AT_ONCE; i++) {
      if (i0 + i < STEPS) {
        @unroll for (var h = 0u; h < HEADS; h++) {
          let a = vectors[(h * STEPS + i0 + i) * PARTS + part];
          @unroll for (var r = 0u; r < RUN; r++) { scores[h][r] += dot(a, keys[RUN * i + r]); }
        }
      }
    }
  }
  @unroll for (var h = 0u; h < HEADS; h++) {
    @unroll for (var r = 0u; r < RUN; r++) { partial[part * STRIDE + (run * RUN + r) * HEADS + h] = scores[h][r]; }
  }
}

// The whole score of a key of the chunk with a head, after a barrier.
fn sum_parts(key: u32, head: u32) -> f32 {
  var sum = 0.0;
  @unroll for (var p = 0u; p < PARTS; p++) { sum += partial[p * STRIDE + key * HEADS + head]; }
  return sum;
}
