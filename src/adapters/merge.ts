/** The norm of a row, as torch sums it on a CPU: what merging a DoRA divides by. Pure. Source: peft.tuners.lora.dora. */

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
