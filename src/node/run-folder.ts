/** The folder of a run: checked to be usable before any work is done, and its first files. */
import { access, constants, readdir, readFile, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { printConfig, type ResolvedConfig } from '../config/index.ts';
import { ConfigError } from '../errors.ts';
import { type FileWriter, writeText } from '../formats/reader.ts';
import { INTERRUPTED_FILE, type Interruption, TRAINER_STATE_FILE } from '../train/run.ts';
import { inWords, makeDirectories } from './files.ts';

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

/** Requires a new or empty folder that can be written: a run never overwrites another. @throws ConfigError */
export async function requireUsable(directory: string): Promise<void> {
  const refuse = (what: string): never => {
    throw new ConfigError([{ path: 'output_dir', message: `${directory} ${what}` }]);
  };
  const failed = (error: NodeJS.ErrnoException) => refuse(`cannot be used (${inWords(error)}); give another folder`);
  const entries = await readdir(directory).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' ? null : failed(error),
  );
  if (entries === null) return tryToMake(directory).catch(failed);
  if (entries.length > 0) refuse(await occupied(directory, entries));
  await access(directory, constants.W_OK).catch(failed);
}

/**
 * Makes the folder and removes it, the only proof that it can be made: root may write in /proc and still cannot make
 * one.
 */
async function tryToMake(directory: string): Promise<void> {
  const made = await makeDirectories(directory);
  for (const folder of made.reverse()) await rmdir(folder);
}

async function occupied(directory: string, entries: readonly string[]): Promise<string> {
  const next = 'Delete the folder to train again, or give another output_dir';
  if (!entries.includes(CONFIG_FILE) || !entries.includes(ENVIRONMENT_FILE))
    return `is not empty (it holds ${[...entries].sort()[0]}); give a new folder, or empty it`;
  if (!entries.includes(TRAINER_STATE_FILE))
    return `holds a run that did not end (${CONFIG_FILE} and no ${TRAINER_STATE_FILE}): it may still be running. ${next}`;
  if (entries.includes(INTERRUPTED_FILE))
    return `holds a run that was interrupted${await interruptionOf(directory)}; what it logged is in ${TRAINER_STATE_FILE}. ${next}`;
  return `is not empty: it holds a finished run, which is not written over; give a new folder`;
}

async function interruptionOf(directory: string): Promise<string> {
  try {
    const { reason, step, max_steps } = JSON.parse(
      await readFile(path.join(directory, INTERRUPTED_FILE), 'utf8'),
    ) as Interruption;
    return ` (${reason}, after step ${step} of ${max_steps})`;
  } catch {
    return ''; // the name alone says what counts
  }
}
