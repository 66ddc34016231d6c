// A workgroup that shares one row: lane i takes elements i, i + TEAM, ... of it. Needs @workgroup_size(TEAM).
const TEAM = 64u; // its twin is none: the host counts workgroups; a power of two

var<workgroup> team_parts: array<f32, TEAM>;

// The sum over all lanes, in every lane; every lane has to call it, and once: a second call would overwrite what a slow lane has
// still to read. Pairs, in a fixed order: bit-repeatable.
fn team_sum(lane: u32, part: f32) -> f32 {
  team_parts[lane] = part;
  for (var half = TEAM / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { team_parts[lane] += team_parts[lane + half]; }
  }
  workgroupBarrier();
  return team_parts[0];
}

var<workgroup> team_largest: array<vec2f, TEAM>;

// The largest of two values over all lanes, in every lane; called as team_sum is.
fn team_max(lane: u32, part: vec2f) -> vec2f {
  team_largest[lane] = part;
  for (var half = TEAM / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { team_largest[lane] = max(team_largest[lane], team_largest[lane + half]); }
  }
  workgroupBarrier();
  return team_largest[0];
}
