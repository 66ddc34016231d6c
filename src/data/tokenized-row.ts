/** Rows that are tokenized already: input_ids, with labels or masks beside them. */
import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import type { JsonObject } from '../formats/json.ts';
import { requireFollowed } from './columns.ts';
import { IGNORED, type Row } from './row.ts';

/** Columns of TRL that say by token what is learned. Where there are labels, neither counts. */
export const MASKS = ['completion_mask', 'assistant_masks'] as const;

/** @throws DataError at `where` for what is no row, and for columns that would change the loss and are not followed */
export function tokenizedRow(
  record: JsonObject,
  where: string,
  { completionOnlyLoss = null }: { readonly completionOnlyLoss?: boolean | null },
): Row {
  const ids = integers(record.input_ids, 'input_ids', 0, where);
  requireFollowed(record, ids.length, where);
  const inputIds = Uint32Array.from(ids);
  if (record.labels === undefined || record.labels === null) {
    const masks = MASKS.flatMap((key) => maskOf(record, key, ids.length, where, completionOnlyLoss));
    return { inputIds, labels: masks.length === 0 ? null : maskedLabels(inputIds, masks) };
  }
  const labels = integers(record.labels, 'labels', IGNORED, where);
  if (labels.length !== ids.length) {
    throw new DataError(
      where,
      `has ${labels.length} labels for ${ids.length} input_ids, needs as many. Labels are not shifted.`,
    );
  }
  return { inputIds, labels: Int32Array.from(labels) };
}

/** Labels of the tokens that every mask has a 1 for. */
export function maskedLabels(ids: Uint32Array, masks: readonly (readonly boolean[] | Uint8Array)[]): Int32Array {
  return Int32Array.from(ids, (id, i) => (masks.every((mask) => Boolean(mask[i])) ? id : IGNORED));
}

/** The mask where it counts: TRL follows completion_mask only with completion_only_loss: true. */
function maskOf(
  record: JsonObject,
  key: (typeof MASKS)[number],
  tokens: number,
  where: string,
  completionOnlyLoss: boolean | null,
): (readonly boolean[])[] {
  const value = record[key] ?? null;
  if (value === null) return [];
  const isBits = Array.isArray(value) && value.every((bit) => [0, 1, true, false].includes(bit as number));
  if (!isBits || value.length !== tokens)
    throw new DataError(where, `${key} is ${show(value)}, needs ${tokens} of 0 or 1, one for each of input_ids.`);
  const mask = value.map((bit) => Boolean(bit));
  if (mask.every((bit) => bit)) return [];
  if (key === 'assistant_masks') return [mask];
  if (completionOnlyLoss === null)
    throw new DataError(
      where,
      'completion_mask is not all ones, and TRL follows it with completion_only_loss: true alone. Set that to true or false, or give labels.',
    );
  return completionOnlyLoss ? [mask] : [];
}

function integers(value: unknown, key: string, least: number, where: string): readonly number[] {
  const isInteger = (entry: unknown): boolean =>
    Number.isInteger(entry) && (entry as number) >= least && (entry as number) < 2 ** 31;
  if (Array.isArray(value) && value.every(isInteger)) return value;
  throw new DataError(where, `${key} is ${show(value)}, needs a list of whole numbers of at least ${least}.`);
}
