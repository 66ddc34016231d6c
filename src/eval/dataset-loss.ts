/** The loss of a dataset's rows: the mean over the tokens that training would learn, in nats. */
import { makeMicroBatch } from '../data/batch.ts';
import { IGNORED } from '../data/row.ts';
import { lengthsOf, type RowSource } from '../data/row-source.ts';
import type { Scorer } from '../generate/scorer.ts';
import { batchesOf, type RowBatch } from './score.ts';

export type DatasetWork = { readonly name: string; readonly rows: RowSource; readonly batches: readonly RowBatch[] };

export function datasetWork(name: string, rows: RowSource, batchSize: number, maxLength: number): DatasetWork {
  return { name, rows, batches: batchesOf([...lengthsOf(rows)], batchSize, maxLength) };
}

/** Row by row, in the order of the rows. */
export type DatasetLoss = {
  /** Nats, added up. */
  readonly sums: readonly number[];
  /** Tokens that counted. */
  readonly tokens: readonly number[];
  readonly flags: number;
};

/** Yields after each batch how many rows are done. @param adapter number of the adapter, 0 for the base */
export async function* datasetLoss(
  scorer: Scorer,
  { rows, batches }: DatasetWork,
  { adapter, padId }: { readonly adapter: number; readonly padId: number },
): AsyncGenerator<number, DatasetLoss> {
  const [sums, tokens] = [new Array<number>(rows.count).fill(0), new Array<number>(rows.count).fill(0)];
  let flags = 0;
  for (const { S, rows: numbers } of batches) {
    const members = await Promise.all(numbers.map((number) => rows.row(number)));
    const batch = makeMicroBatch(members, { padId, padToMultipleOf: S });
    const scores = await scorer.score({ ...batch, adapters: numbers.map(() => adapter) });
    flags |= scores.flags;
    for (const [b, number] of numbers.entries())
      for (let t = b * S; t < (b + 1) * S; t++) {
        if (batch.labels[t] === IGNORED) continue;
        sums[number]! += scores.losses[t]!;
        tokens[number]!++;
      }
    yield numbers.length;
  }
  return { sums, tokens, flags };
}
