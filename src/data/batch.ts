/** Rows side by side: padded on the right, labels shifted, ready to be written to the GPU. */
import { max as largest } from 'simple-statistics';
import { KernelCallError } from '../errors.ts';
import { locateDocuments, type PackedDocuments } from './documents.ts';
import { IGNORED, lossTokens, type Row } from './row.ts';

export type MicroBatch = {
  /** Rows. */
  readonly B: number;
  /** Columns: the length of the longest row, rounded up where asked for. */
  readonly S: number;
  /** (B, S); past a row's length the pad id. */
  readonly inputIds: Uint32Array;
  /** (B, S), already shifted: the token that position s predicts; -100 where nothing counts. */
  readonly labels: Int32Array;
  /** (B): the tokens of each row that attention sees. */
  readonly lengths: Uint32Array;
  /** Tokens without padding. */
  readonly tokens: number;
  /** Labels that count: those a position predicts. */
  readonly lossTokens: number;
  /** Rows whose first label is not -100. No position predicts it. */
  readonly firstLabels: number;
  /** Where the documents of packed rows lie; null where every row is one sequence. */
  readonly documents: PackedDocuments | null;
};

/** What the loss of a step is divided by: the labels that are predicted, or those of all positions. */
export type LossDenominator = 'shifted_labels' | 'all_labels';

/**
 * Counts the labels that a loss is divided by. transformers counts labels[:, 1:] since 5.10 (its pull
 * request 46204) and counted labels at all positions from 4.46 to 5.9.
 */
export function countItems(
  { lossTokens, firstLabels }: Pick<MicroBatch, 'lossTokens' | 'firstLabels'>,
  denominator: LossDenominator,
): number {
  return denominator === 'all_labels' ? lossTokens + firstLabels : lossTokens;
}

export type PaddingOptions = {
  /** Any id of the vocabulary: padding is masked by length, so that even an EOS may serve. */
  readonly padId: number;
  /** Rounds S up, so that fewer shapes (and so fewer recorded plans) occur. 1 by default. */
  readonly padToMultipleOf?: number;
  /** The positions of the model, beyond which S is never rounded. */
  readonly maxPositions?: number;
};

/** Columns of a batch whose longest row has so many tokens. */
export function paddedLength(longest: number, options: Omit<PaddingOptions, 'padId'>): number {
  const { padToMultipleOf = 1, maxPositions = Number.POSITIVE_INFINITY } = options;
  return Math.max(longest, Math.min(Math.ceil(longest / padToMultipleOf) * padToMultipleOf, maxPositions));
}

/** Pads at least one row to one length and shifts the labels. KernelCallError where there is no row. */
export function makeMicroBatch(rows: readonly Row[], options: PaddingOptions): MicroBatch {
  const { padId } = options;
  if (rows.length === 0) throw new KernelCallError('makeMicroBatch', 'no rows');
  const B = rows.length;
  const S = paddedLength(largest(rows.map(({ inputIds }) => inputIds.length)), options);
  const inputIds = new Uint32Array(B * S).fill(padId);
  const labels = new Int32Array(B * S).fill(IGNORED);
  rows.forEach((row, b) => {
    inputIds.set(row.inputIds, b * S);
    labels.set((row.labels ?? row.inputIds).subarray(1), b * S);
  });
  return {
    B,
    S,
    inputIds,
    labels,
    lengths: Uint32Array.from(rows, (row) => row.inputIds.length),
    tokens: rows.reduce((sum, row) => sum + row.inputIds.length, 0),
    lossTokens: rows.reduce((sum, row) => sum + lossTokens(row), 0),
    firstLabels: rows.filter((row) => row.labels?.[0] !== IGNORED).length,
    documents: rows.some((row) => row.documents !== undefined)
      ? locateDocuments(
          rows.map((row) => row.documents ?? [row.inputIds.length]),
          S,
        )
      : null,
  };
}
