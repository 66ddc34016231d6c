/** The folder of a run: taken before any work is done, and its first files. */
import path from 'node:path';
import { printConfig, type ResolvedConfig } from '../config/index.ts';
import { type FileWriter, writeText } from '../formats/reader.ts';
import { INTERRUPTED_FILE, type Interruption, TRAINER_STATE_FILE } from '../train/run.ts';
import { type TakenFolder, takeFolder } from './output-folder.ts';
import { readRegular } from './regular-file.ts';

/** Written before the first step. A folder that has it but no trainer_state.json holds a run that did not end. */
const CONFIG_FILE = 'config.yaml';
const ENVIRONMENT_FILE = 'environment.json';
/** Name of a run's record, beside what it trained. */
export const RECORD_FILE = 'run.json';

/** Writes the settings and the environment of a run, before its first step, so that even a crash can be repeated. */
export async function writeRunHead(writer: FileWriter, config: ResolvedConfig, environment: object): Promise<void> {
  await writeText(writer, CONFIG_FILE, printConfig(config));
  await writeText(writer, ENVIRONMENT_FILE, `${JSON.stringify(environment, null, 2)}\n`);
}

/** Takes the folder of a run, which never writes over another. @throws ConfigError */
export function takeRunFolder(directory: string): Promise<TakenFolder> {
  return takeFolder(directory, { name: 'output_dir', contents: 'none', occupied });
}

async function occupied(directory: string, entries: readonly string[]): Promise<string> {
  const next = 'Delete the folder to train again, or give another output_dir';
  if (!entries.includes(CONFIG_FILE) || !entries.includes(ENVIRONMENT_FILE))
    return `${directory} is not empty (it holds ${[...entries].sort()[0]}); give a new folder, or empty it`;
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
