// The flat invocation index of a one-dimensional grid that was folded over x and y past the device's workgroup limit.
fn flat_index(wg: vec3u, grid: vec3u, lane: u32, wg_size: u32) -> u32 {
  return (wg.x + wg.y * grid.x) * wg_size + lane;
}
