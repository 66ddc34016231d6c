/** One training row, and the checks every row passes whatever file it came from. */
import { DataError } from '../errors.ts';

/** HF's mark for a position that is not trained on. */
export const IGNORED = -100;

export type Row = {
  readonly inputIds: Uint32Array;
  /** Not shifted, as Hugging Face has them: labels[s] belongs to inputIds[s]. null stands for the ids themselves. */
  readonly labels: Int32Array | null;
  /** Lengths of the documents that a packed row consists of, which do not see each other; absent: one document. */
  readonly documents?: readonly number[];
};

/** What the model and the settings allow a row to be. */
export type RowLimits = {
  readonly vocabSize: number;
  readonly maxPositions: number;
  /** Longer rows are cut to this many tokens; null refuses rows beyond `maxPositions` instead. */
  readonly maxLength: number | null;
};

/** Counts the positions whose prediction enters the loss: labels after the first that are not ignored. */
export function lossTokens({ inputIds, labels }: Row): number {
  if (labels === null) return Math.max(0, inputIds.length - 1);
  let count = 0;
  for (let t = 1; t < labels.length; t++) if (labels[t] !== IGNORED) count++;
  return count;
}

/** Whether an EOS is predicted and learned; or is the last token and masked, as padding is; null for neither. */
export function endOf({ inputIds, labels }: Row, eosIds: ReadonlySet<number>): 'learned' | 'masked' | null {
  const learned = labels ?? inputIds;
  for (let t = learned.length - 1; t > 0; t--) if (eosIds.has(learned[t]!)) return 'learned';
  return eosIds.has(inputIds.at(-1)!) && labels?.at(-1) === IGNORED ? 'masked' : null;
}

/** Keeps the first `length` tokens of a row. */
export function cutRow({ inputIds, labels }: Row, length: number): Row {
  return { inputIds: inputIds.subarray(0, length), labels: labels?.subarray(0, length) ?? null };
}

/** Checks a row at `where` (file:line). DataError: no tokens, ids the model lacks, or more tokens than positions. */
export function checkRow(row: Row, limits: RowLimits, where: string): void {
  const { vocabSize, maxPositions, maxLength } = limits;
  const { inputIds, labels } = row;
  if (inputIds.length === 0) throw new DataError(where, 'has no tokens. Leave the row out, or fill it.');
  const stray = inputIds.findIndex((id) => id >= vocabSize);
  if (stray >= 0) {
    throw new DataError(
      where,
      `input_ids[${stray}] is ${inputIds[stray]}, needs less than vocab_size ${vocabSize}. Was it tokenized for another model?`,
    );
  }
  const wrong = labels?.findIndex((id) => id !== IGNORED && (id < 0 || id >= vocabSize)) ?? -1;
  if (labels !== null && wrong >= 0) {
    throw new DataError(
      where,
      `labels[${wrong}] is ${labels[wrong]}, needs ${IGNORED} or an id below vocab_size ${vocabSize}.`,
    );
  }
  const kept = Math.min(inputIds.length, maxLength ?? inputIds.length);
  if (kept > maxPositions) {
    throw new DataError(
      where,
      `has ${kept} tokens, the model ${maxPositions} positions. Set max_length to ${maxPositions} or less, or shorten the row.`,
    );
  }
}
