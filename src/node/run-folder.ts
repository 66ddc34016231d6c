/** The folder of a run: taken before any work is done, and its first files. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { printConfig, type ResolvedConfig } from '../config/index.ts';
import { type FileWriter, writeText } from '../formats/reader.ts';
import { stepOfCheckpoint } from '../train/checkpoint-store.ts';
import { INTERRUPTED_FILE, type Interruption } from '../train/interruption.ts';
import { TRAINER_STATE_FILE } from '../train/trainer-state.ts';
import { checkpointNames, removeUnfinished } from './checkpoint-store.ts';
import { type TakenFolder, takeFolder } from './output-folder.ts';
import { readRegular } from './regular-file.ts';

/** Written before the first step. A folder that has it but no trainer_state.json holds a run that did not end. */
export const CONFIG_FILE = 'config.yaml';
const ENVIRONMENT_FILE = 'environment.json';
/** Name of a run's record, beside what it trained. */
export const RECORD_FILE = 'run.json';

/** Files that say how a run ended; one that goes on has not. */
const END_FILES: readonly string[] = [INTERRUPTED_FILE, TRAINER_STATE_FILE, RECORD_FILE];

/** Writes the settings and the environment of a run, before its first step, so that even a crash can be repeated. */
export async function writeRunHead(writer: FileWriter, config: ResolvedConfig, environment: object): Promise<void> {
  // whoever repeats the run starts it
  const values = { ...config.values, resume_from_checkpoint: null };
  await writeText(writer, CONFIG_FILE, printConfig({ ...config, values }));
  await writeText(writer, ENVIRONMENT_FILE, `${JSON.stringify(environment, null, 2)}\n`);
}

/**
 * Takes the folder of a run, which never writes over another.
 * @param goesOn whether the folder may hold a run, which this one goes on with
 * @throws ConfigError
 */
export function takeRunFolder(directory: string, goesOn: boolean): Promise<TakenFolder> {
  const allows = (entries: readonly string[]) => goesOn && holdsRun(entries);
  return takeFolder(directory, { name: 'output_dir', contents: 'none', occupied, allows });
}

/** Removes what a killed process left unfinished, and what says that the run has ended. */
export async function clearForResuming(directory: string): Promise<void> {
  await removeUnfinished(directory);
  for (const name of END_FILES) await rm(path.join(directory, name), { force: true });
}

function holdsRun(entries: readonly string[]): boolean {
  const isBegun = entries.includes(CONFIG_FILE) && entries.includes(ENVIRONMENT_FILE);
  return isBegun || entries.some((name) => stepOfCheckpoint(name) !== null);
}

async function occupied(directory: string, entries: readonly string[]): Promise<string> {
  if (!holdsRun(entries))
    return `${directory} is not empty (it holds ${[...entries].sort()[0]}); give a new folder, or empty it`;
  const goOn =
    (await checkpointNames(directory)).length > 0 ? 'Set resume_from_checkpoint: true to go on with it, ' : '';
  const next = `${goOn}${goOn === '' ? 'D' : 'd'}elete the folder to train again, or give another output_dir`;
  if (!entries.includes(TRAINER_STATE_FILE))
    return `${directory} holds a run that did not end (${CONFIG_FILE} and no ${TRAINER_STATE_FILE}). ${next}`;
  if (entries.includes(INTERRUPTED_FILE))
    return `${directory} holds a run that was interrupted${await interruptionOf(directory)}; what it logged is in ${TRAINER_STATE_FILE}. ${next}`;
  return `${directory} is not empty: it holds a finished run, which is not written over; give a new folder`;
}

async function interruptionOf(directory: string): Promise<string> {
  try {
    const { reason, step, max_steps } = JSON.parse(
      (await readRegular(path.join(directory, INTERRUPTED_FILE))).toString('utf8'),
    ) as Interruption;
    return ` (${reason}, after step ${step} of ${max_steps})`;
  } catch {
    return ''; // the name alone says what counts
  }
}
