/** Rows as people have them, by their columns, tokenized and labelled as TRL's SFTTrainer does. */
import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import type { JsonObject } from '../formats/json.ts';
import { withinTime } from '../formats/time-limit.ts';
import type { chatRow as ChatRow } from './chat/chat-row.ts';
import type { ExampleOptions, MadeRow, RowKind } from './example.ts';
import type { DataRecord } from './json-record.ts';
import { IGNORED } from './row.ts';
import { alpacaRow, promptCompletionRow, textRow } from './text-rows.ts';
import { MASKS, tokenizedRow } from './tokenized-row.ts';

/** A row with the columns that were read. */
export type Example = MadeRow & { readonly read: readonly string[] };

const has = (row: JsonObject, key: string): boolean => row[key] !== undefined && row[key] !== null;

const COLUMNS: Readonly<Record<Exclude<RowKind, 'text'>, readonly string[]>> = {
  tokenized: ['input_ids', 'labels', 'attention_mask', 'position_ids', 'seq_lengths', 'inputs_embeds', ...MASKS],
  'prompt-completion': ['prompt', 'completion', 'tools', 'chat_template_kwargs'],
  messages: ['messages', 'tools', 'chat_template_kwargs'],
  conversations: ['conversations', 'tools', 'chat_template_kwargs'],
  alpaca: ['instruction', 'input', 'output'],
};

/** Columns by which TRL knows a dataset of pictures, which it refuses for models of text. */
const PICTURES = ['image', 'images'];

/** Tells by its columns what a row is, in TRL's order; null for none that is known. */
export function kindOf(row: JsonObject, textField = 'text'): RowKind | null {
  if (has(row, 'input_ids')) return 'tokenized';
  if (has(row, 'prompt') && has(row, 'completion')) return 'prompt-completion';
  if (has(row, 'messages')) return 'messages';
  if (has(row, 'conversations')) return 'conversations';
  if (has(row, textField)) return 'text';
  return has(row, 'instruction') && has(row, 'output') ? 'alpaca' : null;
}

/** Makes training rows of records; what chats need is loaded with the first of them. */
export class ExampleMaker {
  readonly #options: ExampleOptions;
  readonly #kind: RowKind | undefined;
  #chatRow: typeof ChatRow | null = null;

  /** @param kind how all records are read; undefined goes by the columns of each */
  constructor(options: ExampleOptions, kind: RowKind | undefined) {
    this.#options = options;
    this.#kind = kind;
  }

  /** Makes rows of records, in their order, under one clock: starting one costs more than a short text. @throws DataError */
  async make(records: readonly DataRecord[]): Promise<Example[]> {
    const kinds = records.map(({ json }) => this.#kind ?? kindOf(json, this.#options.textField));
    if (this.#chatRow === null && records.some(({ json }, i) => isChat(kinds[i]!, json)))
      this.#chatRow = (await import('./chat/chat-row.ts')).chatRow;
    const one = ({ json, where }: DataRecord, i: number): Example => this.#one(json, where, kinds[i]!);
    try {
      return withinTime(
        TOGETHER_MS,
        () => records.map(one),
        () => new TooLate(),
      );
    } catch (error) {
      // each under a clock of its own, which tells the text that takes too long
      if (error instanceof TooLate) return records.map(one);
      throw error;
    }
  }

  #one(record: JsonObject, where: string, kind: RowKind | null): Example {
    const { textField = 'text' } = this.#options;
    if (kind === null) throw unknownColumns(record, where, textField);
    const pictures = PICTURES.find((key) => has(record, key) && show(record[key]) !== '[]');
    if (pictures !== undefined && kind !== 'tokenized')
      throw new DataError(
        where,
        `has ${show(pictures)}, and nibble trains on text alone. Leave such rows out, or the column.`,
      );
    const read = kind === 'text' ? [textField] : COLUMNS[kind];
    return { ...made(kind, record, where, this.#options, this.#chatRow), read };
  }
}

/** Time for the records that are made together; one of them alone may take longer. */
const TOGETHER_MS = 10_000;

class TooLate extends Error {}

const isChat = (kind: RowKind | null, record: JsonObject): boolean =>
  kind === 'messages' ||
  kind === 'conversations' ||
  (kind === 'prompt-completion' && (Array.isArray(record.prompt) || Array.isArray(record.completion)));

function made(
  kind: RowKind,
  record: JsonObject,
  where: string,
  options: ExampleOptions,
  chatRow: typeof ChatRow | null,
): MadeRow {
  if (kind === 'tokenized') return { row: tokenizedRow(record, where, options), notes: [] };
  const { tokenizer } = options;
  if (tokenizer === null)
    throw new DataError(where, 'holds text, and the model directory has no tokenizer.json. Add it, or give input_ids.');
  const settings = { ...options, tokenizer };
  if (isChat(kind, record)) return chatRow!(kind, record, where, settings);
  if (options.assistantOnlyLoss === true)
    throw new DataError(
      where,
      'is no conversation, and assistant_only_loss: true learns from what an assistant says. Give "messages", or leave the setting out.',
    );
  if (has(record, 'labels'))
    throw new DataError(where, 'has labels beside text; labels belong to tokens, so they need input_ids.');
  if (kind === 'prompt-completion') return promptCompletionRow(record, where, settings);
  return kind === 'alpaca' ? alpacaRow(record, where, settings) : textRow(record, where, settings);
}

function unknownColumns(record: JsonObject, where: string, textField: string): DataError {
  const keys = Object.keys(record).filter((key) => has(record, key));
  const missing =
    has(record, 'prompt') || has(record, 'completion')
      ? `lacks "${has(record, 'prompt') ? 'completion' : 'prompt'}", which belongs to its "${has(record, 'prompt') ? 'prompt' : 'completion'}"`
      : has(record, 'instruction')
        ? 'lacks "output", which belongs to its "instruction"'
        : `needs ${show(textField)}, "messages", "prompt" with "completion", "instruction" with "output", or "input_ids" (labels ${IGNORED} where nothing is learned)`;
  return new DataError(where, `has the keys ${show(keys)}, ${missing}.`);
}
