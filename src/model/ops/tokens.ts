/** Tokens whose rows of the embedding, or of the head, are trained in place of the table's; their gradients. */
import type { Tensor } from '../../gpu/tensor.ts';
import { embeddingBwd, embeddingFwd } from '../../kernels/embedding.ts';
import { matmulNn, matmulNt, matmulTn } from '../../kernels/matmul.ts';
import { type Owner, tokenColumns, tokenColumnsBwd, tokenSlots } from '../../kernels/tokens.ts';
import type { TokenRows } from '../weight.ts';
import type { OpContext } from './context.ts';
import type { GradRows, Rows } from './dense.ts';

/** Writes scale * rows to y (T, C) where a token is one of them. @returns their places (T), which backward needs */
export function embedTokens(
  ctx: OpContext,
  ids: Tensor,
  { indices, rows }: TokenRows,
  { scale, y, owner }: { readonly scale: number; readonly y: Tensor; readonly owner?: Owner },
): Tensor {
  const { tape, B, S } = ctx;
  const [T, n, C] = [B * S, indices.elements, y.elements / (B * S)];
  const slots = tape.tensor('embed.slots', [T], { dtype: 'u32' });
  tokenSlots(tape, { T, n, ids, indices, slots, owner });
  embeddingFwd(tape, { T, C, scale, row0: 0, rows: n, ids: slots, table: rows, y });
  return slots;
}

/** Adds to the gradient of the rows. */
export function embedTokensBackward(
  { tape, B, S }: OpContext,
  slots: Tensor,
  { indices, rows }: TokenRows,
  { scale, dy }: { readonly scale: number; readonly dy: Tensor },
): void {
  const T = B * S;
  const shape = { T, C: dy.elements / T, scale, row0: 0, rows: indices.elements };
  embeddingBwd(tape, { ...shape, ids: slots, dy, dtable: tape.gradTarget(rows).grad });
}

/** Puts the logits of trained tokens into y (T, V). */
export function headTokens(
  { tape }: OpContext,
  { x, T, weight }: Pick<Rows, 'x' | 'T' | 'weight'>,
  { indices, rows }: TokenRows,
  { y, owner }: { readonly y: Tensor; readonly owner?: Owner },
): void {
  const n = indices.elements;
  const own = tape.tensor(`${weight.name}.token_logits`, [T, n], { category: 'workspace' });
  matmulNt(tape, { M: T, N: n, K: weight.in, x, w: rows, y: own });
  tokenColumns(tape, { T, V: weight.out, n, indices, x: own, y, owner });
}

/** Takes the gradients of their logits out of dy (T, V), which leaves those of the table, and adds to that of the rows. @returns them, (T, n) */
export function headTokensBackward(
  { tape }: OpContext,
  { x, T, weight }: Rows,
  { indices, rows }: TokenRows,
  dy: Tensor,
): Tensor {
  const n = indices.elements;
  const taken = tape.tensor(`${weight.name}.d_token_logits`, [T, n], { category: 'workspace' });
  tokenColumnsBwd(tape, { T, V: weight.out, n, indices, x: taken, y: dy });
  const { grad, accumulate } = tape.gradTarget(rows);
  matmulTn(tape, { M: T, N: n, K: weight.in, d: taken, x, y: grad, accumulate });
  return taken;
}

/** dx += the part that comes through the rows. */
export function headTokensInput(
  { tape }: OpContext,
  { T, weight }: Rows,
  { indices, rows }: TokenRows,
  taken: Tensor,
  dx: GradRows,
): void {
  matmulNn(tape, { M: T, N: indices.elements, K: weight.in, x: taken, w: rows, y: dx.grad, accumulate: true });
}
