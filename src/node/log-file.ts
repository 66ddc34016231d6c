/** log.jsonl and log.csv: a line for every row of the log, written when it is made. */
import path from 'node:path';
import { type FileWriter, writeText } from '../formats/reader.ts';
import type { LogRow, Sample } from '../train/events.ts';
import { LOG_COLUMNS } from '../train/trainer-state.ts';
import { type GrowingFile, growingFile } from './growing-file.ts';

/** How a file has its rows. */
type Layout = {
  readonly name: string;
  readonly head: string;
  readonly line: (row: LogRow) => string;
  /** A line for the texts of eval_generate of a step; absent where there is no place for texts. */
  readonly texts?: (samples: readonly Sample[]) => string;
};

/** Every run has it. JSON has neither NaN nor infinity: they become null. */
export const JSON_LINES: Layout = {
  name: 'log.jsonl',
  head: '',
  line: (row) => `${JSON.stringify(row)}\n`,
  texts: (samples) => {
    const record = { step: samples[0]?.step, samples: samples.map(({ prompt, text }) => ({ prompt, text })) };
    return `${JSON.stringify(record)}\n`;
  },
};

/** report_to: csv. A row leaves the columns empty that it has no value of; others are written as pandas reads them. */
export const CSV: Layout = {
  name: 'log.csv',
  head: `${LOG_COLUMNS.join(',')}\n`,
  line: (row) => `${LOG_COLUMNS.map((column) => cellOf(row[column])).join(',')}\n`,
};

function cellOf(value: number | undefined): string {
  if (value === undefined) return '';
  return Number.isFinite(value) ? String(value) : String(value).replace('Infinity', 'inf');
}

/** What a run wrote into its logs before it was resumed. */
export type LoggedSoFar = { readonly rows: readonly LogRow[]; readonly samples: readonly Sample[] };

type LogFile = Pick<GrowingFile, 'close'> & { add(row: LogRow): void; addTexts(samples: readonly Sample[]): void };

/** Starts a file with the rows and texts of the run so far. @param note is told that it cannot be written @throws DataError */
export async function openLogFile(
  writer: FileWriter,
  layout: Layout,
  before: LoggedSoFar,
  note: (text: string) => void,
): Promise<LogFile> {
  const { name, head, line, texts = () => '' } = layout;
  await writeText(writer, name, head + linesOf(before, { line, texts }).join(''));
  const file = growingFile(path.join(writer.root, name), note);
  return {
    add: (row) => file.add(line(row)),
    addTexts: (samples) => file.add(texts(samples)),
    close: file.close,
  };
}

/** Texts of a step stand behind its rows, as they were written first. */
function linesOf({ rows, samples }: LoggedSoFar, { line, texts }: Required<Pick<Layout, 'line' | 'texts'>>): string[] {
  const steps = [...new Set(samples.map(({ step }) => step))];
  const entries = [
    ...rows.map((row) => ({ step: row.step as number, text: line(row) })),
    ...steps.map((step) => ({ step, text: texts(samples.filter((sample) => sample.step === step)) })),
  ];
  // equal steps keep their order
  return entries.sort((a, b) => a.step - b.step).map(({ text }) => text);
}
