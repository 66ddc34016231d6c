/** Rows of a JSONL file: {"text": ...} or {"input_ids": [...], "labels": [...]} on each line. */

import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { type JsonObject, parseObject } from '../formats/json.ts';
import { type FileReader, place } from '../formats/reader.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';
import { requireFollowed, unreadColumns } from './columns.ts';
import { readLines } from './lines.ts';
import { IGNORED, type Row } from './row.ts';

export type JsonlOptions = {
  /** Needed for text rows only. */
  readonly tokenizer: TextTokenizer | null;
  /**
   * Ends every text row with the tokenizer's EOS, unless its last token is one; tokenizers without an EOS add none. TRL's
   * SFTTrainer does the same, before it cuts rows to max_length. Where a tokenizer itself ends texts with an EOS, TRL adds
   * a second one and nibble none.
   */
  readonly appendEos?: boolean;
};

/** Keys of the chat and instruction formats that TRL and others read. */
const CHAT_KEYS = ['messages', 'conversations', 'prompt', 'completion', 'instruction', 'input', 'output', 'response'];

/** A row with its file:line, and what is worth a word of it. */
export type ReadRow = {
  readonly row: Row;
  readonly where: string;
  /** It was text that lacks the EOS which appendEos asks for. */
  readonly lacksEos: boolean;
  /** It was text that itself has the BOS or EOS which the tokenizer adds, so that there are two. */
  readonly doubled: boolean;
  /** Columns that are not read and change nothing. */
  readonly unread: readonly string[];
};

/** Reads the rows of one file, passing over blank lines. DataError for a line that is no row. */
export async function* readJsonl(reader: FileReader, path: string, options: JsonlOptions): AsyncGenerator<ReadRow> {
  const cannotEnd = options.appendEos === true && options.tokenizer?.eosId === null;
  for await (const { text, number } of readLines(reader, path)) {
    if (text.trim() === '') continue;
    const where = `${place(reader, path)}:${number}`;
    const json = parseObject(text, where);
    const row = parseRow(json, options, where);
    const isText = json.input_ids === undefined;
    const doubled = isText && isDoubled(json.text, row, options);
    yield { row, where, lacksEos: cannotEnd && isText, doubled, unread: unreadColumns(json) };
  }
}

function parseRow(json: JsonObject, options: JsonlOptions, where: string): Row {
  if (json.input_ids !== undefined) return tokenizedRow(json, where);
  if (json.text === undefined) {
    const chat = CHAT_KEYS.filter((key) => key in json);
    if (chat.length > 0) {
      throw new DataError(
        where,
        `is a row of a chat or instruction format (${chat.join(', ')}), which is not supported yet. Write the whole ` +
          `conversation, in the model's chat template, as "text"; or give "input_ids" with "labels" of ${IGNORED} where nothing is learned.`,
      );
    }
    throw new DataError(where, `has the keys ${show(Object.keys(json))}, needs "text" or "input_ids".`);
  }
  if (typeof json.text !== 'string') throw new DataError(where, `text is ${show(json.text)}, needs a string.`);
  if (json.labels !== undefined) {
    throw new DataError(where, 'has labels beside text; labels belong to tokens, so they need input_ids.');
  }
  if (options.tokenizer === null) {
    throw new DataError(where, 'holds text, and the model directory has no tokenizer.json. Add it, or give input_ids.');
  }
  const ids = encode(json.text, options.tokenizer, options.appendEos ?? false);
  if (ids.length === 0)
    throw new DataError(where, `text is ${show(json.text)}, which has no tokens. Leave the row out, or fill it.`);
  return { inputIds: Uint32Array.from(ids), labels: null };
}

/** Two special tokens at an end count when one of them is the tokenizer's doing. */
function isDoubled(text: unknown, { inputIds }: Row, { tokenizer }: JsonlOptions): boolean {
  if (tokenizer === null || typeof text !== 'string' || inputIds.length < 2) return false;
  const { bosId, eosId } = tokenizer;
  const starts = inputIds[0] === bosId && inputIds[1] === bosId;
  const ends = inputIds.at(-1) === eosId && inputIds.at(-2) === eosId;
  return (starts || ends) && tokenizer.encode(text, { addSpecialTokens: false }).length < inputIds.length;
}

function encode(text: string, tokenizer: TextTokenizer, appendEos: boolean): number[] {
  const ids = tokenizer.encode(text);
  const { eosId } = tokenizer;
  // a row without tokens stays without, so that it is refused
  const open = ids.length > 0 && ids.at(-1) !== eosId;
  return appendEos && eosId !== null && open ? [...ids, eosId] : ids;
}

function tokenizedRow(json: JsonObject, where: string): Row {
  const ids = integers(json.input_ids, 'input_ids', 0, where);
  requireFollowed(json, ids.length, where);
  if (json.labels === undefined || json.labels === null) return { inputIds: Uint32Array.from(ids), labels: null };
  const labels = integers(json.labels, 'labels', IGNORED, where);
  if (labels.length !== ids.length) {
    throw new DataError(
      where,
      `has ${labels.length} labels for ${ids.length} input_ids, needs as many. Labels are not shifted.`,
    );
  }
  return { inputIds: Uint32Array.from(ids), labels: Int32Array.from(labels) };
}

function integers(value: unknown, key: string, least: number, where: string): readonly number[] {
  const isInteger = (entry: unknown): boolean =>
    Number.isInteger(entry) && (entry as number) >= least && (entry as number) < 2 ** 31;
  if (Array.isArray(value) && value.every(isInteger)) return value;
  throw new DataError(where, `${key} is ${show(value)}, needs a list of whole numbers of at least ${least}.`);
}
