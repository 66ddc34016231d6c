/** Log-likelihoods of rows of unequal lengths, in batches of few shapes. What a row gets does not depend on its neighbours. */
import { IGNORED } from '../data/row.ts';
import { prefillLength } from '../generate/build.ts';
import type { ScoreShape } from '../generate/plan.ts';
import type { ScoreBatch, Scorer } from '../generate/scorer.ts';
import type { RowScore, ScoredRow } from './encode.ts';

/** Rows that go through the model together, by their numbers. */
export type RowBatch = ScoreShape & { readonly rows: readonly number[] };

/** Tokens of a row that are read: the last one is asked for alone. */
export const readLength = ({ ids }: ScoredRow): number => ids.length - 1;

/**
 * Puts rows into batches of like lengths, the longest first, so that what does not fit shows at once.
 * @param lengths tokens of each row that are read
 */
export function batchesOf(lengths: readonly number[], batchSize: number, maxLength: number): RowBatch[] {
  const bySize = new Map<number, number[]>();
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  for (const i of order) {
    const S = prefillLength(lengths[i]!, maxLength);
    const members = bySize.get(S);
    if (members === undefined) bySize.set(S, [i]);
    else members.push(i);
  }
  return [...bySize].flatMap(([S, members]) => {
    const batches: RowBatch[] = [];
    for (let at = 0; at < members.length; at += batchSize) {
      const part = members.slice(at, at + batchSize);
      batches.push({ B: part.length, S, rows: part });
    }
    return batches;
  });
}

/** The shapes among batches, each once. */
export function shapesOf(batches: readonly ScoreShape[]): ScoreShape[] {
  return [...new Map(batches.map(({ B, S }) => [`${B},${S}`, { B, S }])).values()];
}

/** Scores rows, and yields after each batch how many of them are done. @param adapter number of the adapter, 0 for the base */
export async function* scoreRows(
  scorer: Scorer,
  rows: readonly ScoredRow[],
  batches: readonly RowBatch[],
  adapter: number,
): AsyncGenerator<number, { readonly scores: readonly RowScore[]; readonly flags: number }> {
  const scores: RowScore[] = [];
  let flags = 0;
  for (const batch of batches) {
    const found = await scorer.score(scoreBatch(rows, batch, adapter));
    flags |= found.flags;
    for (const [b, number] of batch.rows.entries()) {
      const row = rows[number]!;
      const end = b * batch.S + readLength(row);
      const own = { from: end - row.own, to: end };
      let logprob = 0;
      for (let t = own.from; t < own.to; t++) logprob -= found.losses[t]!;
      scores[number] = { logprob, isGreedy: found.hits.subarray(own.from, own.to).every((hit) => hit === 1) };
    }
    yield batch.rows.length;
  }
  return { scores, flags };
}

function scoreBatch(rows: readonly ScoredRow[], { B, S, rows: numbers }: RowBatch, adapter: number): ScoreBatch {
  const inputIds = new Uint32Array(B * S);
  const labels = new Int32Array(B * S).fill(IGNORED);
  for (const [b, number] of numbers.entries()) {
    const row = rows[number]!;
    const length = readLength(row);
    inputIds.set(row.ids.slice(0, length), b * S);
    labels.set(row.ids.slice(-row.own), b * S + length - row.own);
  }
  return { B, S, inputIds, labels, adapters: numbers.map(() => adapter) };
}
