/** log.jsonl: a line for every row of the log, written when it is made, so that a run can be watched. */
import { appendFile } from 'node:fs/promises';
import { type FileWriter, writeText } from '../formats/reader.ts';
import type { LogRow } from '../train/trainer-state.ts';
import { inWords } from './files.ts';

export const LOG_FILE = 'log.jsonl';

export type LogFile = {
  /** Adds a row behind those before it; what cannot be written is told once, and the run goes on. */
  add(row: LogRow): void;
  /** Waits until all rows are written. */
  close(): Promise<void>;
};

/** Starts the log with the rows of the run so far. @param note is told that it cannot be written @throws DataError */
export async function openLogFile(
  writer: FileWriter,
  file: string,
  rows: readonly LogRow[],
  note: (text: string) => void,
): Promise<LogFile> {
  await writeText(writer, LOG_FILE, rows.map(lineOf).join(''));
  let last: Promise<void> = Promise.resolve();
  let isLost = false;
  const append = async (row: LogRow): Promise<void> => {
    if (isLost) return;
    await appendFile(file, lineOf(row)).catch((error: NodeJS.ErrnoException) => {
      isLost = true;
      note(`${file} cannot be written (${inWords(error)}); the run goes on without it`);
    });
  };
  return {
    add: (row) => {
      last = last.then(() => append(row));
    },
    close: () => last,
  };
}

/** JSON has neither NaN nor infinity: they become null. */
const lineOf = (row: LogRow): string => `${JSON.stringify(row)}\n`;
