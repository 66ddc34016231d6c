/** Does the work of `nibble data preview`: reads the rows, without the weights and without a GPU, and prints them. */
import pc from 'picocolors';
import { wasSet } from '../../config/index.ts';
import { IGNORED, type Row } from '../../data/row.ts';
import type { RowSource } from '../../data/row-source.ts';
import { rowAdvice } from '../../estimate/advise-rows.ts';
import type { TextTokenizer } from '../../formats/tokenizer.ts';
import { nodeReader } from '../../node/files.ts';
import { openRowSpool } from '../../node/row-spool.ts';
import { datasetNotes } from '../../node/run-notes.ts';
import { requireStrict } from '../../node/strict.ts';
import { counted } from '../../report/format.ts';
import { adviceInWords } from '../../train/advice.ts';
import { readRows } from '../../train/rows.ts';
import type { CliContext } from '../shared/context.ts';
import { wantsColor } from '../shared/terminal.ts';
import { openTextInputs } from '../shared/text-inputs.ts';
import { type PreviewArgs, SHOWN_ROWS } from './command.ts';

/** @throws ConfigError, DataError; the signal's reason */
export async function runPreview(
  { config: asked, rows, json, evaluation }: PreviewArgs,
  context: CliContext,
): Promise<void> {
  const { config, values, model, tokenizer } = await openTextInputs(asked, context);
  const spool = openRowSpool();
  try {
    const all = await readRows(values, { model, tokenizer }, nodeReader, spool);
    const [name, set] = evaluation ? (['eval', all.evaluation] as const) : (['train', all.train] as const);
    const most = Math.min(set.rows.count, rows ?? (json ? set.rows.count : SHOWN_ROWS));
    const advice = rowAdvice({ ...all, config: values, isSet: (key) => wasSet(config, key) });
    const strict = { dtypeNotes: [], rowNotes: all.train.notes, advice };
    if (json) {
      await printJson(set.rows, most, context);
      return requireStrict(config, strict);
    }
    await printRows(set.rows, most, tokenizer, context);
    context.stderr.write(
      `${name}: ${counted(set.rows.count, 'row')}, ${counted(set.tokens, 'token')}, ${set.lossTokens} of them predicted and learned\n`,
    );
    for (const note of [...all.notes, ...datasetNotes(name, set, values)]) context.stderr.write(`note: ${note}\n`);
    requireStrict(config, strict);
    for (const one of advice) context.stderr.write(`advice: ${adviceInWords(one)}\n`);
  } finally {
    await spool.close();
  }
}

/** Rows between two moments in which a pipe may drain and a signal be heard. */
const ROWS_AT_ONCE = 200;

async function printJson(rows: RowSource, count: number, { stdout, signal }: CliContext): Promise<void> {
  for (let start = 0; start < count; start += ROWS_AT_ONCE) {
    signal.throwIfAborted();
    let lines = '';
    for (let i = start; i < Math.min(start + ROWS_AT_ONCE, count); i++) {
      const { inputIds, labels } = await rows.row(i);
      lines += `{"input_ids": [${inputIds.join(', ')}], "labels": [${(labels ?? inputIds).join(', ')}]}\n`;
    }
    stdout.write(lines);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function printRows(
  rows: RowSource,
  count: number,
  tokenizer: TextTokenizer | null,
  { stdout, env }: CliContext,
): Promise<void> {
  const color = wantsColor(stdout as { isTTY?: boolean }, env);
  const { bold } = pc.createColors(color);
  stdout.write(`${legend(color)}\n\n`);
  for (let i = 0; i < count; i++) {
    const row = await rows.row(i);
    const learned = learnedMask(row).filter(Boolean).length;
    const packed = row.documents === undefined ? '' : `, ${counted(row.documents.length, 'document')}`;
    stdout.write(`${bold(`row ${i + 1}: ${counted(row.inputIds.length, 'token')}, ${learned} learned${packed}`)}\n`);
    stdout.write(`${paint(row, tokenizer, color)}\n\n`);
  }
}

const [OPEN, CLOSE] = ['\u27e6', '\u27e7'];

function legend(color: boolean): string {
  const { green, dim } = pc.createColors(color);
  return color ? `${green('learned')}, ${dim('not learned')}` : `${OPEN}learned${CLOSE}, not learned`;
}

/** Whether each token is a label. The first of a row, or of a packed document, is predicted by nothing. */
function learnedMask({ inputIds, labels }: Row): boolean[] {
  return Array.from(labels ?? inputIds, (label) => label !== IGNORED);
}

/** The text of a row, with what is learned in a colour, or in brackets where there are none. */
function paint(row: Row, tokenizer: TextTokenizer | null, color: boolean): string {
  const { green, dim } = pc.createColors(color);
  const mask = learnedMask(row);
  const ids = [...row.inputIds];
  const textTo = (end: number): string =>
    tokenizer === null
      ? ids
          .slice(0, end)
          .map((id) => `${id} `)
          .join('')
      : tokenizer.decode(ids.slice(0, end));
  let painted = '';
  let before = '';
  for (let start = 0; start < ids.length; ) {
    let end = start + 1;
    while (end < ids.length && mask[end] === mask[start]) end++;
    const whole = textTo(end);
    const part = escaped(whole.slice(before.length));
    painted += mask[start] ? (color ? green(part) : `${OPEN}${part}${CLOSE}`) : dim(part);
    before = whole;
    start = end;
  }
  return painted;
}

/** Control characters of a row would act on the terminal. */
function escaped(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
