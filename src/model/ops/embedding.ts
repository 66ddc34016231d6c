/** Token embedding as an op, with an optional LoRA pair. */
import type { Tensor } from '../../gpu/tensor.ts';
import { adapterRank } from '../../kernels/adapters.ts';
import { embeddingBwd, embeddingFwd } from '../../kernels/embedding.ts';
import { matmulNn, matmulNt, matmulTn } from '../../kernels/matmul.ts';
import { type DenseWeight, isTrainable, type Shard, shardsOf, type TokenRows } from '../weight.ts';
import type { LowRankBank } from './adapter-bank.ts';
import { select } from './banked.ts';
import { type OpContext, output } from './context.ts';
import { embedTokens, embedTokensBackward } from './tokens.ts';

/** A (V, r), transposed against PEFT's files; B (C, r). A token's row gets scaling * B A[token]. */
export type EmbeddingPair = {
  readonly A: Tensor;
  readonly B: Tensor;
  readonly r: number;
  readonly scaling: number;
};

export type EmbeddingLayer = DenseWeight & {
  readonly lora: EmbeddingPair | null;
  /** Tokens whose rows are trained. */
  readonly tokens: TokenRows | null;
};

/** ids (T) u32 -> rows of the table (V, C), widened to f32 and multiplied by `scale`. */
export function embed(ctx: OpContext, ids: Tensor, table: EmbeddingLayer, scale = 1): Tensor {
  const { tape } = ctx;
  const { lora, tokens } = table;
  const T = ctx.B * ctx.S;
  const shape = { T, C: table.in, scale };
  const trained = [...(lora === null ? [] : [lora.A, lora.B]), ...(tokens === null ? [] : [tokens.rows])];
  const y = output(tape, 'embed.y', [T, table.in], [table.tensor, ...trained]);
  const shards = lookUp(ctx, ids, table, scale, y);
  for (const { adapter, weight } of ctx.adapters?.embedding?.tables ?? []) {
    const other = tape.tensor('embed.replaced', [T, table.in], { category: 'workspace' });
    lookUp(ctx, ids, weight, scale, other);
    select(ctx, adapter, other, y, table.in);
  }
  for (const { adapter, tokens: own } of ctx.adapters?.embedding?.tokens ?? [])
    embedTokens(ctx, ids, own, { scale, y, owner: { adapter, S: ctx.S } });
  const low = ctx.adapters?.embedding?.low;
  if (low) addLowRank(ctx, ids, table, low, scale, y);
  const gathered = lora === null ? null : pairForward(ctx, ids, table, { ...lora, scaling: scale * lora.scaling }, y);
  const slots = tokens && embedTokens(ctx, ids, tokens, { scale, y });
  tape.onBackward([y], () => {
    const dy = tape.gradOf(y);
    if (tokens && slots) embedTokensBackward(ctx, slots, tokens, { scale, dy });
    if (lora && gathered) pairBackward(ctx, { ids, gathered, dy }, table, { ...lora, scaling: scale * lora.scaling });
    if (!isTrainable(table)) return;
    const { grad } = tape.gradTarget(table.tensor);
    for (const { row0, rows } of shards) {
      embeddingBwd(tape, { ...shape, row0, rows, ids, dy, dtable: grad.rows(row0, rows) });
    }
  });
  return y;
}

/** Writes scale * table[ids], shard by shard of the table. */
function lookUp(ctx: OpContext, ids: Tensor, table: DenseWeight, scale: number, y: Tensor): Shard[] {
  const { tape, B, S } = ctx;
  const shards = shardsOf(tape, table, ctx.computeDtype);
  for (const { row0, rows } of shards)
    embeddingFwd(tape, { T: B * S, C: table.in, scale, row0, rows, ids, table: table.tensor.rows(row0, rows), y });
  return shards;
}

/** x (rows, C) -> its rows `picks` (u32), in their order. */
export function pickRows({ tape }: OpContext, x: Tensor, picks: Tensor, C: number): Tensor {
  const [T, rows] = [picks.elements, x.elements / C];
  const y = tape.tensor(`${x.label}.picked`, [T, C]);
  embeddingFwd(tape, { T, C, scale: 1, row0: 0, rows, ids: picks, table: x, y });
  return y;
}

/** Adds to y the term of each row's adapter. */
function addLowRank(
  ctx: OpContext,
  ids: Tensor,
  table: EmbeddingLayer,
  low: LowRankBank,
  scale: number,
  y: Tensor,
): void {
  const { tape, B, S } = ctx;
  const { R, A, B: w, owners, scales } = low;
  const T = B * S;
  const xa = tape.tensor('embed.a', [T, R]);
  embeddingFwd(tape, { T, C: R, scale: 1, row0: 0, rows: table.out, ids, table: A, y: xa });
  adapterRank(tape, { T, S, R, xa, owners, scales });
  matmulNt(tape, { M: T, N: table.in, K: R, x: xa, w, y, scale, accumulate: true });
}

/** Adds the pair's term to y; returns A[ids] (T, r), which backward needs. */
function pairForward(ctx: OpContext, ids: Tensor, table: EmbeddingLayer, pair: EmbeddingPair, y: Tensor): Tensor {
  const { tape } = ctx;
  const T = ctx.B * ctx.S;
  const { A, B, r, scaling } = pair;
  const gathered = tape.tensor('embed.a', [T, r]);
  embeddingFwd(tape, { T, C: r, scale: 1, row0: 0, rows: table.out, ids, table: A, y: gathered });
  matmulNt(tape, { M: T, N: table.in, K: r, x: gathered, w: B, y, scale: scaling, accumulate: true });
  return gathered;
}

function pairBackward(
  ctx: OpContext,
  { ids, gathered, dy }: { ids: Tensor; gathered: Tensor; dy: Tensor },
  table: EmbeddingLayer,
  { A, B, r, scaling }: EmbeddingPair,
): void {
  const { tape } = ctx;
  const T = ctx.B * ctx.S;
  const dB = tape.gradTarget(B);
  const { accumulate } = dB;
  matmulTn(tape, { M: T, N: table.in, K: r, d: dy, x: gathered, y: dB.grad, scale: scaling, accumulate });
  const da = tape.tensor('embed.da', [T, r], { category: 'workspace' });
  matmulNn(tape, { M: T, N: table.in, K: r, x: dy, w: B, y: da, scale: scaling });
  const dtable = tape.gradTarget(A).grad;
  embeddingBwd(tape, { T, C: r, scale: 1, row0: 0, rows: table.out, ids, dy: da, dtable });
}
