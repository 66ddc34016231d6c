/** Layers whose sequences have different adapters: the ops of src/model/ops/adapter-bank.ts. Forward only. */
import type { Tensor } from '../../gpu/tensor.ts';
import { adapterRank, adapterRows, adapterSelect } from '../../kernels/adapters.ts';
import { type LowRank, matmulNt } from '../../kernels/matmul.ts';
import type { LinearBank, LowRankBank } from './adapter-bank.ts';
import type { OpContext } from './context.ts';
import { addJoined, project, type Rows } from './dense.ts';
import { headTokens } from './tokens.ts';

/** y (T, out) of a linear layer, row by row with the adapter of its sequence. @param bias the base's */
export function bankForward(ctx: OpContext, rows: Rows, bank: LinearBank, bias: Tensor | null, y: Tensor): void {
  const { tape } = ctx;
  const { T, weight } = rows;
  const { low, gain, ld, weights, tokens } = bank;
  const isPlain = gain === null && bank.bias === null && weights.length === 0 && tokens.length === 0;
  const plus = low === null ? undefined : lowRankTerm(ctx, rows, low);
  if (isPlain) {
    project(ctx, rows, y, { bias, ...(plus && { plus }) });
    return;
  }
  project(ctx, rows, y);
  for (const replaced of weights) {
    const other = tape.tensor(`${weight.name}.replaced`, [T, weight.out], { category: 'workspace' });
    project(ctx, { ...rows, weight: replaced.weight }, other);
    select(ctx, replaced.adapter, other, y, weight.out);
  }
  if (plus !== undefined) addJoined(ctx, rows, y, { plus });
  if (gain !== null || bank.bias !== null)
    adapterRows(tape, { T, S: T / ctx.B, N: weight.out, ld, y, gain, bias: bank.bias });
  if (bank.bias === null) addJoined(ctx, rows, y, { bias });
  for (const { adapter, tokens: own } of tokens) headTokens(ctx, rows, own, { y, owner: { adapter, S: T / ctx.B } });
}

function lowRankTerm(
  { tape, B }: OpContext,
  { x, T, weight }: Rows,
  { R, A, B: w, owners, scales }: LowRankBank,
): LowRank {
  const xa = tape.tensor(`${weight.name}.xa`, [T, R]);
  matmulNt(tape, { M: T, N: R, K: weight.in, x, w: A, y: xa });
  adapterRank(tape, { T, S: T / B, R, xa, owners, scales });
  return { r: R, x: xa, w, scale: 1 };
}

/** Takes into y (rows of N elements) the rows of x whose sequences have the adapter. */
export function select({ tape, B }: OpContext, adapter: number, x: Tensor, y: Tensor, N: number): void {
  const T = y.elements / N;
  adapterSelect(tape, { T, S: T / B, N, adapter, x, y });
}
