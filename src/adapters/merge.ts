/**
 * What merging adds to a weight, as PEFT computes it with torch on a CPU: products summed with one rounding each (FMA), in the order
 * of the ranks, then multiplied by the scaling. Pure.
 * Source: peft.tuners.lora.layer, get_delta_weight and merge.
 */

/** A (r, in), B (out, r), f32 row-major. */
export type MergePair = {
  readonly A: Float32Array;
  readonly B: Float32Array;
  readonly r: number;
  readonly in: number;
  readonly scaling: number;
};

/** scaling * (B A)[row, from ..], as many elements as `into` holds. */
export function updateRow(
  { A, B, r, in: width, scaling }: MergePair,
  row: number,
  from: number,
  into: Float32Array,
): void {
  const factor = Math.fround(scaling);
  into.fill(0);
  for (let j = 0; j < r; j++) {
    const b = B[row * r + j] as number;
    const at = j * width + from;
    for (let k = 0; k < into.length; k++) into[k] = fma(b, A[at + k] as number, into[k] as number);
  }
  for (let k = 0; k < into.length; k++) into[k] = (into[k] as number) * factor;
}

/** a * b + c of f32 values with one rounding to f32. */
function fma(a: number, b: number, c: number): number {
  const product = a * b; // exact: two times 24 bits
  const sum = product + c;
  const rounded = Math.fround(sum);
  const rest = sum - rounded;
  // where the double is half-way between two floats, the sum's own rounding decides
  return rest !== 0 && Math.fround(sum + rest) === sum + rest ? roundHalf(product, c, sum, rounded, rest) : rounded;
}

function roundHalf(product: number, c: number, sum: number, rounded: number, rest: number): number {
  const part = sum - product;
  const lost = product - (sum - part) + (c - part);
  if (lost === 0) return rounded;
  return lost > 0 === rest > 0 ? Math.fround(sum + rest) : Math.fround(sum - rest);
}

/** Lanes in which torch sums the squares of a row, one after the other at the end; each square is rounded before it is added. */
const LANES = 8;

/** The norm of a row, as torch.linalg.norm(dim=1) sums it. */
export function rowNorm(row: Float32Array): number {
  const sums = new Float32Array(LANES);
  const whole = row.length - (row.length % LANES);
  for (let i = 0; i < whole; i++) sums[i % LANES] = (sums[i % LANES] as number) + squared(row[i] as number);
  let sum = sums[0] as number;
  for (let lane = 1; lane < LANES; lane++) sum = Math.fround(sum + (sums[lane] as number));
  for (let i = whole; i < row.length; i++) sum = Math.fround(sum + squared(row[i] as number));
  return Math.fround(Math.sqrt(sum));
}

const squared = (x: number): number => Math.fround(x * x);
