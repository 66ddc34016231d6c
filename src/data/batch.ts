/** Rows side by side: padded on the right, labels shifted, ready to be written to the GPU. */
import { KernelCallError } from '../errors.ts';
import { locateDocuments, type PackedDocuments } from './documents.ts';
import { IGNORED, lossTokens, type Row } from './row.ts';

export type MicroBatch = {
  /** Rows, and columns: the longest row, rounded up where asked for. */
  readonly B: number;
  readonly T: number;
  /** (B, T); past a row's length the pad id. */
  readonly inputIds: Uint32Array;
  /** (B, T), already shifted: the token that position t predicts; -100 where nothing counts. */
  readonly labels: Int32Array;
  /** (B); attention sees this many tokens of each row. */
  readonly lengths: Uint32Array;
  /** Tokens without padding. */
  readonly tokens: number;
  /** Labels that count: those a position predicts. */
  readonly lossTokens: number;
  /** Rows whose first label is not -100. No position predicts it. */
  readonly firstLabels: number;
  /** Of rows that keep documents apart; null where a row is one sequence. */
  readonly documents: PackedDocuments | null;
};

/** What the loss of a step is divided by: the labels that are predicted, or those of all positions. */
export type LossDenominator = 'shifted_labels' | 'all_labels';

/**
 * N, the number by which a loss over these labels is divided. transformers counts labels[:, 1:] since 5.10 (its pull
 * request 46204) and counted labels at all positions from 4.46 to 5.9.
 */
export function countItems(
  { lossTokens, firstLabels }: Pick<MicroBatch, 'lossTokens' | 'firstLabels'>,
  denominator: LossDenominator,
): number {
  return denominator === 'all_labels' ? lossTokens + firstLabels : lossTokens;
}

export type PaddingOptions = {
  /** Any id of the vocabulary: what is padded is masked by length, never by id, so that an EOS may serve. */
  readonly padId: number;
  /** Rounds T up, so that fewer shapes (and so fewer recorded plans) occur. 1 by default. */
  readonly padToMultipleOf?: number;
  /** T is never rounded beyond this: the positions of the model. */
  readonly maxPositions?: number;
};

/** Puts at least one row into a micro-batch. */
export function makeMicroBatch(rows: readonly Row[], options: PaddingOptions): MicroBatch {
  const { padId, padToMultipleOf = 1, maxPositions = Number.POSITIVE_INFINITY } = options;
  if (rows.length === 0) throw new KernelCallError('makeMicroBatch', 'no rows');
  const B = rows.length;
  const longest = Math.max(...rows.map(({ inputIds }) => inputIds.length));
  const T = Math.max(longest, Math.min(Math.ceil(longest / padToMultipleOf) * padToMultipleOf, maxPositions));
  const inputIds = new Uint32Array(B * T).fill(padId);
  const labels = new Int32Array(B * T).fill(IGNORED);
  rows.forEach((row, b) => {
    inputIds.set(row.inputIds, b * T);
    labels.set((row.labels ?? row.inputIds).subarray(1), b * T);
  });
  return {
    B,
    T,
    inputIds,
    labels,
    lengths: Uint32Array.from(rows, (row) => row.inputIds.length),
    tokens: rows.reduce((sum, row) => sum + row.inputIds.length, 0),
    lossTokens: rows.reduce((sum, row) => sum + lossTokens(row), 0),
    firstLabels: rows.filter((row) => row.labels?.[0] !== IGNORED).length,
    documents: rows.some((row) => row.documents !== undefined)
      ? locateDocuments(
          rows.map((row) => row.documents ?? [row.inputIds.length]),
          T,
        )
      : null,
  };
}
