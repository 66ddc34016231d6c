/** Columns beside the tokens of a row: those that change the loss in TRL or transformers and are not followed are refused. */

import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import type { JsonObject } from '../formats/json.ts';

/** Columns that say nothing new in some form, which is taken, and in any other would have to be followed. */
type Column = {
  readonly fits: (value: readonly unknown[], tokens: number) => boolean;
  readonly wanted: string;
  readonly instead: string;
};

const isOnes = (value: readonly unknown[], tokens: number): boolean =>
  value.length === tokens && value.every((bit) => bit === 1 || bit === true);
const DOCUMENTS = 'Give each document a row of its own, and set packing: true to have several in one.';

const COLUMNS: Readonly<Record<string, Column>> = {
  attention_mask: {
    fits: isOnes,
    wanted: 'not all ones',
    instead: 'Give the tokens without padding; nibble pads batches itself.',
  },
  position_ids: {
    fits: (value, tokens) => value.length === tokens && value.every((position, i) => position === i),
    wanted: 'not 0, 1, 2 and so on, as nibble counts positions in every row',
    instead: DOCUMENTS,
  },
  seq_lengths: {
    fits: (value, tokens) => value.length === 1 && value[0] === tokens,
    wanted: 'not the one length of the row, and nibble packs rows itself',
    instead: DOCUMENTS,
  },
  inputs_embeds: { fits: () => false, wanted: 'not read', instead: 'Give "input_ids" alone.' },
};

/** @throws DataError naming a column whose content changes the loss elsewhere and is not followed here */
export function requireFollowed(row: JsonObject, tokens: number, where: string): void {
  for (const [key, { fits, wanted, instead }] of Object.entries(COLUMNS)) {
    const value = row[key] ?? null;
    if (value === null || (Array.isArray(value) && fits(value, tokens))) continue;
    throw new DataError(where, `${key} is ${wanted}. ${instead} (it is ${show(value)})`);
  }
}
