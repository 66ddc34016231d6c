/** The logs that a run writes while it runs: log.jsonl always, and what report_to names. */
import { reportersOf, type TrainConfig } from '../config/index.ts';
import type { FileWriter } from '../formats/reader.ts';
import type { LogRow, Sample } from '../train/events.ts';
import { isEndRow } from '../train/trainer-state.ts';
import { CSV, JSON_LINES, type LoggedSoFar, openLogFile } from './log-file.ts';
import { eventFolder, openEventLog } from './tensorboard.ts';

export type RunLogs = {
  add(row: LogRow): void;
  /** Takes the texts of eval_generate after a step. */
  addTexts(samples: readonly Sample[]): void;
  /** Waits until all rows are written. @param isComplete whether the run came to its end */
  close(isComplete: boolean): Promise<void>;
};

/**
 * Opens the logs of a run.
 * @param before the log of the run before it was resumed, and the step that comes first after it
 * @param settings of the run, with paths as they were given
 * @throws DataError for one that cannot be written
 */
export async function openRunLogs(
  writer: FileWriter,
  settings: TrainConfig,
  before: LoggedSoFar & { readonly firstStep: number },
  note: (text: string) => void,
): Promise<RunLogs> {
  const asked = reportersOf(settings.report_to);
  const { rows, firstStep } = before;
  const files = [await openLogFile(writer, JSON_LINES, before, note)];
  if (asked.includes('csv')) files.push(await openLogFile(writer, CSV, before, note));
  const events = asked.includes('tensorboard') ? await openEvents() : null;
  let end: LogRow | null = null;
  return {
    add: (row) => {
      for (const file of files) file.add(row);
      // an event cannot be taken back, and a run that goes on later has an end of its own
      if (isEndRow(row)) end = row;
      else events?.add(row);
    },
    addTexts: (samples) => {
      for (const file of files) file.addTexts(samples);
    },
    close: async (isComplete) => {
      if (isComplete && end !== null) events?.add(end);
      for (const file of [...files, ...(events === null ? [] : [events])]) await file.close();
    },
  };

  async function openEvents() {
    const folder = await eventFolder(writer.root, settings.logging_dir);
    const goesOn = settings.logging_dir === null || Boolean(settings.resume_from_checkpoint);
    const text = JSON.stringify(settings, null, 2);
    return openEventLog(folder, { rows, firstStep, goesOn, settings: text }, note);
  }
}
