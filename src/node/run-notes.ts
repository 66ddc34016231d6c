/** Notes on a run before it starts: its device, its rows and what was cut from them, its kernels, its base. */

import type { TrainConfig } from '../config/settings.ts';
import { show } from '../config/show.ts';
import type { Dataset } from '../data/dataset.ts';
import type { RowNote } from '../data/example.ts';
import { cutAdvice } from '../estimate/advise-rows.ts';
import { prequantizedNote } from '../estimate/base-quantization.ts';
import type { Device } from '../gpu/device.ts';
import { counted } from '../report/format.ts';
import { packingOf } from '../train/packing.ts';
import type { RunInput } from '../train/session.ts';
import type { RunTiers } from '../train/tiers.ts';

/** Notes on the device that was found. */
export function deviceNotes({ profile, notices }: Device): string[] {
  return [...(profile.software ? [`no GPU: computing on ${profile.name}, a software driver`] : []), ...notices];
}

/** Notes on the rows; `lengthWasSet` says that max_length was set explicitly. */
export function dataNotes(input: RunInput, lengthWasSet: boolean): string[] {
  const notes: string[] = [];
  const note = (text: string): void => {
    notes.push(text);
  };
  const { config, train, evaluation, batches, model, tokenizer } = input;
  const { max_length } = config;
  const { max_position_embeddings: positions } = model;
  for (const text of input.notes) note(text);
  const quantized = prequantizedNote(input);
  if (quantized !== null) note(quantized);
  for (const line of tokenizer?.notes ?? []) note(line);
  if (lengthWasSet && max_length !== null && max_length > positions)
    note(`max_length ${max_length} is beyond the ${positions} positions of the model: no row may be longer than those`);
  const packs = packingOf(config);
  note(`train: ${rowsAndTokens(train, packs.train !== null)}, ${counted(batches.totalSteps, 'step')}`);
  if (evaluation.rows.count > 0) note(`eval: ${rowsAndTokens(evaluation, packs.evaluation !== null)}`);
  for (const [name, set] of Object.entries({ train, eval: evaluation }))
    for (const line of datasetNotes(name, set, config)) note(line);
  if (batches.padToMultipleOf > 1)
    note(`rows are padded to multiples of ${batches.padToMultipleOf} tokens, so that few shapes need a plan`);
  return notes;
}

/** Notes on the rows of a dataset: what was cut, left out or not read. */
export function datasetNotes(name: string, set: Dataset, config: TrainConfig): string[] {
  const { max_length } = config;
  const notes: string[] = [];
  const note = (text: string): void => {
    notes.push(text);
  };
  if (set.truncatedRows > 0 && cutAdvice(name, set, config).length === 0)
    note(
      `${name}: ${counted(set.truncatedRows, 'row')} cut to max_length ${max_length}, ` +
        `${counted(set.truncatedTokens, 'token')} left out`,
    );
  if (set.droppedRows > 0)
    note(
      `${name}: ${counted(set.droppedRows, 'row')} without a label within max_length ${max_length} left out, as TRL leaves them out`,
    );
  for (const [what, rows] of set.notes)
    if (what in ROW_NOTES) note(`${name}: ${counted(rows, 'row')} ${ROW_NOTES[what as keyof typeof ROW_NOTES]}`);
  if (set.unreadColumns.length > 0)
    note(
      `${name}: ${inShort(set.unreadColumns)} of the rows ${set.unreadColumns.length === 1 ? 'is' : 'are'} not read`,
    );
  if (set.rowsWithoutLoss > 0) note(`${name}: ${counted(set.rowsWithoutLoss, 'row')} without a token to learn from`);
  return notes;
}

/** Rows of which there is nothing to say here; advice counts them. */
type Counted = 'markedChat' | 'unmarkedChat';
export const ROW_NOTES: Readonly<Record<Exclude<RowNote, Counted>, string>> = {
  lacksEos:
    'of text without an EOS at the end: the tokenizer names none for append_eos (eos_token in tokenizer_config.json does)',
  doubled:
    'of text with a BOS or EOS that the tokenizer adds too: it is there twice, as in TRL (leave it out of the text)',
  promptParts:
    'whose prompt alone is not how prompt and completion together begin, in tokens: the completion starts where they part, as in TRL ' +
    '(end prompts on a token border, or take a template that writes the prompt alike in both)',
  noCompletion:
    'of chat that are learned from as a whole: completion_only_loss goes by "prompt" and "completion", as in TRL',
  foreignRoles:
    'with the roles human or gpt, which the chat template gets as they are, as in TRL (most templates know user and assistant alone)',
};

const SHOWN_COLUMNS = 8;

/** Names columns as messages do: some of very many, long ones cut. */
function inShort(columns: readonly string[]): string {
  const shown = columns.slice(0, SHOWN_COLUMNS).map(show).join(', ');
  return columns.length > SHOWN_COLUMNS ? `${shown} and ${columns.length - SHOWN_COLUMNS} more columns` : shown;
}

/** Notes on the kernels that a run takes, and why. */
export function tierNotes({ matmul, attention, lora }: RunTiers): string[] {
  const lines = [`matrix products: ${matmul.tier} (${matmul.reason})`];
  if (attention.tier !== matmul.tier) lines.push(`attention: ${attention.tier} (${attention.reason})`);
  if (lora?.operands === 'float16') {
    const apart = lora.forward === 'separate' ? 'forward' : lora.backward === 'separate' ? 'backward' : null;
    lines.push(
      `LoRA: summed within its layer's product, A, B and what they multiply rounded to float16 there${
        apart === null ? '' : `; not in ${apart}, for its dropout`
      }`,
    );
  }
  return lines;
}

function rowsAndTokens({ rows, documents, tokens }: RunInput['train'], packs: boolean): string {
  const from = packs ? ` packed from ${documents.toLocaleString('en-US')}` : '';
  return `${counted(rows.count, 'row')}${from}, ${counted(tokens, 'token')}`;
}
