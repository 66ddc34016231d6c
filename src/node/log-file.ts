/** log.jsonl and log.csv: a line for every row of the log, written when it is made. */
import path from 'node:path';
import { type FileWriter, writeText } from '../formats/reader.ts';
import type { LogRow } from '../train/events.ts';
import { LOG_COLUMNS } from '../train/trainer-state.ts';
import { type GrowingFile, growingFile } from './growing-file.ts';

/** How a file has its rows. */
type Layout = { readonly name: string; readonly head: string; readonly line: (row: LogRow) => string };

/** Every run has it. JSON has neither NaN nor infinity: they become null. */
export const JSON_LINES: Layout = { name: 'log.jsonl', head: '', line: (row) => `${JSON.stringify(row)}\n` };

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

/** Starts a file with the rows of the run so far. @param note is told that it cannot be written @throws DataError */
export async function openLogFile(
  writer: FileWriter,
  { name, head, line }: Layout,
  rows: readonly LogRow[],
  note: (text: string) => void,
): Promise<Pick<GrowingFile, 'close'> & { add(row: LogRow): void }> {
  await writeText(writer, name, head + rows.map(line).join(''));
  const file = growingFile(path.join(writer.root, name), note);
  return { add: (row) => file.add(line(row)), close: file.close };
}
