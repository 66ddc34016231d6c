/** Rows of text: one column, a prompt with its completion, or an instruction in Stanford's words. */
import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import type { JsonObject } from '../formats/json.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';
import type { ExampleOptions, MadeRow, RowNote } from './example.ts';
import { maskedLabels } from './tokenized-row.ts';

export type TokenizedOptions = ExampleOptions & { readonly tokenizer: TextTokenizer };

const EOS = 'eos_token';

/** One column of text, all of it learned from. @throws DataError */
export function textRow(record: JsonObject, where: string, options: TokenizedOptions): MadeRow {
  const { tokenizer, textField = 'text' } = options;
  const given = stringOf(record, textField, where);
  const whole = withEos(given, options);
  const inputIds = Uint32Array.from(tokenizer.encode(whole));
  if (inputIds.length === 0)
    throw new DataError(where, `${textField} is ${show(given)}, which has no tokens. Leave the row out, or fill it.`);
  const notes: RowNote[] = [...eosNote(options)];
  if (isDoubled(whole, inputIds, tokenizer)) notes.push('doubled');
  return { row: { inputIds, labels: null }, notes };
}

/** A prompt and the completion that follows it, as two texts. Source: trl 1.16, SFTTrainer's tokenize_fn and build_labels. */
export function promptCompletionRow(record: JsonObject, where: string, options: TokenizedOptions): MadeRow {
  const { tokenizer, completionOnlyLoss = null } = options;
  const prompt = stringOf(record, 'prompt', where);
  const whole = prompt + withEos(stringOf(record, 'completion', where), options);
  const made = afterPrompt(tokenizer.encode(prompt), tokenizer.encode(whole));
  const masks = completionOnlyLoss === false ? [] : [made.completionMask];
  return labelled(made, masks, eosNote(options));
}

export type AfterPrompt = {
  readonly inputIds: Uint32Array;
  /** 1 for the tokens of the completion. */
  readonly completionMask: Uint8Array;
  /** Whether the tokens begin with those of the prompt alone. */
  readonly isPrefix: boolean;
};

/** TRL's rule: the completion starts where the tokens of the prompt and those of prompt and completion part. */
export function afterPrompt(promptIds: readonly number[], ids: readonly number[]): AfterPrompt {
  let shared = 0;
  while (shared < promptIds.length && shared < ids.length && promptIds[shared] === ids[shared]) shared++;
  return {
    inputIds: Uint32Array.from(ids),
    completionMask: Uint8Array.from(ids, (_, i) => (i < shared ? 0 : 1)),
    isPrefix: shared === promptIds.length,
  };
}

/** Labels what follows a prompt; `notes` of the row are kept. */
export function labelled(
  { inputIds, isPrefix }: AfterPrompt,
  masks: readonly Uint8Array[],
  notes: readonly RowNote[],
): MadeRow {
  const labels = masks.length === 0 ? null : maskedLabels(inputIds, masks);
  return { row: { inputIds, labels }, notes: isPrefix ? notes : [...notes, 'promptParts'] };
}

/** Stanford Alpaca's two prompts, as Axolotl has them: for an instruction with an input, and for one without. */
const WITH_INPUT =
  'Below is an instruction that describes a task, paired with an input that provides further context. ' +
  'Write a response that appropriately completes the request.\n\n';
const WITHOUT_INPUT =
  'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n';

/**
 * An instruction with or without an input, and its output. Prompt and output are tokenized apart and the output is ended with the EOS, as
 * Axolotl's `alpaca` does; the prompt is learned from only with completion_only_loss: false.
 */
export function alpacaRow(record: JsonObject, where: string, options: TokenizedOptions): MadeRow {
  const { tokenizer, completionOnlyLoss = null, appendEos = false } = options;
  const instruction = stringOf(record, 'instruction', where);
  const input = record.input === undefined || record.input === null ? '' : stringOf(record, 'input', where);
  const prompt = tokenizer.encode(
    input === ''
      ? `${WITHOUT_INPUT}### Instruction:\n${instruction}\n\n### Response:\n`
      : `${WITH_INPUT}### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:\n`,
  );
  const output = tokenizer.encode(stringOf(record, 'output', where));
  if (output[0] !== undefined && output[0] === tokenizer.bosId) output.shift();
  if (appendEos && tokenizer.eosId !== null && output.at(-1) !== tokenizer.eosId) output.push(tokenizer.eosId);
  const made = afterPrompt(prompt, [...prompt, ...output]);
  return labelled(made, completionOnlyLoss === false ? [] : [made.completionMask], eosNote(options));
}

function stringOf(record: JsonObject, key: string, where: string): string {
  const value = record[key];
  if (typeof value === 'string') return value;
  throw new DataError(where, `${key} is ${show(value)}, needs a string.`);
}

function withEos(text: string, { tokenizer, appendEos = false }: TokenizedOptions): string {
  const eos = tokenizer.specialTokens.get(EOS);
  return appendEos && eos !== undefined && !text.endsWith(eos) ? text + eos : text;
}

function eosNote({ tokenizer, appendEos = false }: TokenizedOptions): RowNote[] {
  return appendEos && !tokenizer.specialTokens.has(EOS) ? ['lacksEos'] : [];
}

/** Two special tokens at an end count when one of them is the tokenizer's doing. */
function isDoubled(text: string, ids: Uint32Array, tokenizer: TextTokenizer): boolean {
  const { bosId, eosId } = tokenizer;
  if (ids.length < 2) return false;
  const starts = ids[0] === bosId && ids[1] === bosId;
  const ends = ids.at(-1) === eosId && ids.at(-2) === eosId;
  return (starts || ends) && tokenizer.encode(text, { addSpecialTokens: false }).length < ids.length;
}
