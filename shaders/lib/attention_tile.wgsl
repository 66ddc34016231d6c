import constants::{ BR, BC, DK, VK, D4 };

// The products inside attention_{fwd,bwd}_simt: BR rows (the workgroup's own) against BC columns (a round of the others).
// Thread (tx, ty) has rows 4 ty to 4 ty + 3 and columns 4 tx to 4 tx + 3 of the scores, kept by column as vectors over the rows;
// of the sums over columns it has the same rows and the vectors tx, tx + COLS, ... of the head dim.
const ROWS = BR / 4u;
const COLS = BC / 4u;
const LANES = ROWS * COLS;
const OWN = ROWS + 1u; // one vector of padding keeps columns off the same bank
const OTHER = COLS + 1u;
const WIDE = (D4 + COLS - 1u) / COLS;
const SUMS = 4u * WIDE;
const STAGE = max(DK * (OWN + OTHER), VK * D4);
// What is staged at a time, and how much of it a lane loads: all of its loads are on their way before the first is put.
const BLOCKS = (ROWS + COLS) * (DK / 4u);
const BLOCK_LOADS = (BLOCKS + LANES - 1u) / LANES;
const VALUES = VK * D4;
const VALUE_LOADS = (VALUES + LANES - 1u) / LANES;

var<workgroup> stage: array<vec4f, STAGE>;
var<workgroup> weights: array<vec4f, BC * OWN>;

// Puts four rows by four depths where `scores` finds them; group counts the fours of the own rows, then those of the others.
fn put_block(group: u32, depth: u32, rows: mat4x4f) {
  let block = transpose(rows);
  let at = select(DK * OWN + depth * OTHER + group - ROWS, depth * OWN + group, group < ROWS);
  let stride = select(OTHER, OWN, group < ROWS);
  @unroll for (var j = 0u; j < 4u; j++) { stage[at + j * stride] = block[j]; }
}

// sums[c] += own rows . column c, over the depths that are staged
fn scores(tx: u32, ty: u32, sums: ptr<function, array<vec4f, 4>>) {
  for (var k = 0u; k < DK; k++) {
    let left = stage[k * OWN + ty];
    let right = stage[DK * OWN + k * OTHER + tx];
    (*sums)[0] += left * right.x;
    (*sums)[1] += left * right.y;
    (*sums)[2] += left * right.z;
    (*sums)[3] += left * right.w;
  }
}

// one of the vectors that `add_weighted` finds
fn put_value(i: u32, value: vec4f) { if (VALUES % LANES == 0u || i < VALUES) { stage[i] = value; } }

fn put_weights(tx: u32, ty: u32, values: array<vec4f, 4>) {
  @unroll for (var c = 0u; c < 4u; c++) { weights[(tx * 4u + c) * OWN + ty] = values[c]; }
}

// sums += the weights of VK columns from `first` times their vectors of the head dim, which are staged
fn add_weighted(tx: u32, ty: u32, first: u32, sums: ptr<function, array<vec4f, SUMS>>) {
  for (var j = 0u; j < VK; j++) {
    let p = weights[(first + j) * OWN + ty];
    @unroll for (var c = 0u; c < WIDE; c++) {
      let v = stage[j * D4 + min(tx + c * COLS, D4 - 1u)]; // what lies past the end is not stored later
      (*sums)[c * 4u] += p.x * v;
      (*sums)[c * 4u + 1u] += p.y * v;
      (*sums)[c * 4u + 2u] += p.z * v;
      (*sums)[c * 4u + 3u] += p.w * v;
    }
  }
}
