/** report_to: tensorboard. The log of a run as event files, under the tags and in the folder of transformers' TensorBoardCallback. */
import { open, readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { DataError } from '../errors.ts';
import { fileVersionEvent, restartEvent, scalarsEvent, textEvent } from '../formats/tfevents.ts';
import type { LogRow } from '../train/events.ts';
import { inWords, makeDirectories } from './files.ts';
import { type GrowingFile, growingFile } from './growing-file.ts';

export type EventLog = {
  /** Rows of the run before it was resumed; they are written where the folder does not have them yet. */
  readonly rows: readonly LogRow[];
  /** The first step to come; what the folder has from it on is from a process that went further, and is hidden. */
  readonly firstStep: number;
  /** Whether event files that are there are of this run. */
  readonly goesOn: boolean;
  /** Settings of the run as JSON, for TensorBoard's page of texts. */
  readonly settings: string;
};

const EVENT_FILE = /^events\.out\.tfevents\.(\d+)\./;
/** Folder of output_dir that the folders of event files are in. */
const RUNS = 'runs';

/**
 * Finds the folder: the one that was given, else the newest with event files in output_dir/runs, which a resumed run goes on
 * with, else a new one there.
 */
export async function eventFolder(outputDir: string, given: string | null, now = new Date()): Promise<string> {
  if (given !== null) return path.resolve(given);
  const runs = path.join(outputDir, RUNS);
  const found = await Promise.all(
    (await readdir(runs).catch(() => [])).map(async (name) => ({
      name,
      last: await lastSecond(path.join(runs, name)),
    })),
  );
  const newest = found.filter(({ last }) => last > 0).sort((a, b) => b.last - a.last)[0];
  return path.join(runs, newest?.name ?? nameOfRun(now));
}

/** The name that torch and transformers give: `Dec01_07-26-44_host`, in local time. */
function nameOfRun(now: Date): string {
  const month = now.toLocaleString('en-US', { month: 'short' });
  const [day, ...time] = [now.getDate(), now.getHours(), now.getMinutes(), now.getSeconds()].map((part) =>
    String(part).padStart(2, '0'),
  );
  return `${month}${day}_${time.join('-')}_${hostname()}`;
}

/** When the newest event file of a folder was begun, in seconds since 1970; 0 where there is none. */
async function lastSecond(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  return names.reduce((last, name) => Math.max(last, Number(EVENT_FILE.exec(name)?.[1] ?? 0)), 0);
}

/** Begins an event file behind those of the folder. @param note is told what TensorBoard will show otherwise @throws DataError */
export async function openEventLog(
  folder: string,
  { rows, firstStep, goesOn, settings }: EventLog,
  note: (text: string) => void,
): Promise<Pick<GrowingFile, 'close'> & { add(row: LogRow): void }> {
  const last = await lastSecond(folder);
  const isThere = last > 0;
  // readers take files in the order of their names
  const second = Math.max(Math.floor(Date.now() / 1000), last + 1);
  const file = path.join(folder, `events.out.tfevents.${second}.${hostname()}.${process.pid}.0`);
  await begin(folder, file);
  const events = growingFile(file, note);
  const add = (row: LogRow): void => events.add(scalarsEvent(Date.now() / 1000, row.step ?? 0, tagsOf(row)));
  events.add(fileVersionEvent(Date.now() / 1000));
  if (isThere && goesOn) events.add(restartEvent(Date.now() / 1000, firstStep));
  else {
    if (isThere) note(`${folder} has event files of another run; TensorBoard draws both as one`);
    events.add(textEvent(Date.now() / 1000, 'args', settings));
    for (const row of rows) add(row);
  }
  return { add, close: events.close };
}

/** Makes the file, so that what cannot be written is said before the first step. */
async function begin(folder: string, file: string): Promise<void> {
  try {
    await makeDirectories(folder);
    await (await open(file, 'wx')).close();
  } catch (error) {
    const why = inWords(error as NodeJS.ErrnoException);
    const next = 'Give another logging_dir, or leave tensorboard out of report_to.';
    throw new DataError(file, `cannot be written (${why}). ${next}`, { cause: error });
  }
}

const EVAL = 'eval_';

/** Tags as transformers' callbacks have them: eval/loss, train/grad_norm, train/train_runtime. The step is the event's. */
function tagsOf({ step: _, ...row }: LogRow): Map<string, number> {
  return new Map(
    Object.entries(row).map(([name, value]) => [
      name.startsWith(EVAL) ? `eval/${name.slice(EVAL.length)}` : `train/${name}`,
      value,
    ]),
  );
}
