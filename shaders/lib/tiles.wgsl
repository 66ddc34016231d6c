const GROUP_ROWS = 8u;

// Row and column of the i-th tile: down bands of 8 rows of tiles, so that neighbours in time share operands in the cache.
fn banded_tile(i: u32, rows: u32, cols: u32) -> vec2u {
  let first = i / (GROUP_ROWS * cols) * GROUP_ROWS;
  let height = min(rows - first, GROUP_ROWS);
  let within = i % (GROUP_ROWS * cols);
  return vec2u(first + within % height, within / height);
}
