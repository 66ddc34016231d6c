// Sums of a workgroup's 64 lanes, SUMS numbers at once: y of T rows of x and ROWS rows of w. In a fixed order: bit-repeatable.
import constants::{ ROWS, T };

const LANES = 64u;
const SUMS = ROWS * T;
const STRIDE = LANES + 1u; // one more: lanes that read side by side read banks of their own
const SHARE = 16u;         // lanes that add up one number first

var<workgroup> lane_sums: array<f32, SUMS * STRIDE>;
var<workgroup> shared_sums: array<f32, SUMS * SHARE>;

fn put_sum(lane: u32, i: u32, sum: f32) { lane_sums[i * STRIDE + lane] = sum; }

// Adds up what all lanes have put; number i is then lane i's, for i below SUMS. All lanes have to call it, once.
fn sum_over_lanes(lane: u32) -> f32 {
  workgroupBarrier();
  for (var i = lane; i < SUMS * SHARE; i += LANES) {
    let at = i / SHARE * STRIDE + i % SHARE;
    shared_sums[i] = (lane_sums[at] + lane_sums[at + SHARE]) + (lane_sums[at + 2u * SHARE] + lane_sums[at + 3u * SHARE]);
  }
  workgroupBarrier();
  var sum = 0.0;
  if (lane < SUMS) {
    for (var i = 0u; i < SHARE; i++) { sum += shared_sums[lane * SHARE + i]; }
  }
  return sum;
}
