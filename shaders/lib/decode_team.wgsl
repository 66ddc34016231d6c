// Lanes of a workgroup in teams of TEAM, one for each head: a maximum and a sum over a team, in every lane of it. All lanes of the
// workgroup have to call them, with a barrier of their own between two calls. In a fixed order: bit-repeatable.
import constants::{ TEAM };

const TEAM_LANES = 128u;
const FAN = 8u;

var<workgroup> folds: array<f32, TEAM_LANES>;
var<workgroup> folded: array<f32, TEAM_LANES>;

fn decode_team_max(lane: u32, x: f32) -> f32 {
  let first = lane / TEAM * TEAM;
  folds[lane] = x;
  workgroupBarrier();
  var most = folds[first + lane % FAN];
  for (var i = FAN; i < TEAM; i += FAN) { most = max(most, folds[first + lane % FAN + i]); }
  folded[lane] = most;
  workgroupBarrier();
  most = folded[first];
  @unroll for (var i = 1u; i < FAN; i++) { most = max(most, folded[first + i]); }
  return most;
}

fn decode_team_sum(lane: u32, x: f32) -> f32 {
  let first = lane / TEAM * TEAM;
  folds[lane] = x;
  workgroupBarrier();
  var sum = folds[first + lane % FAN];
  for (var i = FAN; i < TEAM; i += FAN) { sum += folds[first + lane % FAN + i]; }
  folded[lane] = sum;
  workgroupBarrier();
  sum = folded[first];
  @unroll for (var i = 1u; i < FAN; i++) { sum += folded[first + i]; }
  return sum;
}
