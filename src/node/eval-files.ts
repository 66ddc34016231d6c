/** Writes results and samples as lm-eval does, a folder for each model; nothing that is there is written over. */
import { createHash } from 'node:crypto';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError, DataError } from '../errors.ts';
import type { TaskOutcome } from '../eval/outcome.ts';
import { type RunFacts, resultsFile, sampleLine } from '../eval/results.ts';
import { inWords } from './files.ts';

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Requires that results can be written below a folder, before the work. @throws ConfigError */
export async function requireOutput(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    if (!(await stat(directory)).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
  } catch (error) {
    throw new ConfigError([
      {
        path: 'output_path',
        message: `${directory} cannot be a folder of results (${inWords(error as NodeJS.ErrnoException)}); give another one`,
      },
    ]);
  }
}

/** The time as lm-eval's file names have it: 2026-12-01T11-30-00.123. */
export function dateId(date: Date): string {
  return date.toISOString().replace('Z', '').replaceAll(':', '-');
}

/** lm-eval's rule for names that become folders. */
export function folderName(model: string): string {
  return model.replaceAll(/["<>:/|\\?*[\]]+/g, '__');
}

/** Writes the files of one model. @returns their paths @throws DataError where a file is there already, or cannot be written */
export async function writeResults(
  directory: string,
  model: string,
  date: string,
  outcomes: readonly TaskOutcome[],
  facts: RunFacts,
): Promise<string[]> {
  const folder = path.join(directory, folderName(model));
  await mkdir(folder, { recursive: true });
  const results = path.join(folder, `results_${date}.json`);
  const written = [results];
  await writeNew(results, [`${JSON.stringify(resultsFile(outcomes, facts, sha256), null, 2)}\n`]);
  for (const outcome of outcomes) {
    const samples = path.join(folder, `samples_${folderName(outcome.task.name)}_${date}.jsonl`);
    await writeNew(
      samples,
      outcome.samples.map((sample) => `${JSON.stringify(sampleLine(sample, outcome, sha256))}\n`),
    );
    written.push(samples);
  }
  return written;
}

async function writeNew(file: string, pieces: readonly string[]): Promise<void> {
  try {
    const handle = await open(file, 'wx');
    try {
      for (const piece of pieces) await handle.appendFile(piece);
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'EEXIST'
        ? 'is there already, and nothing is written over'
        : `cannot be written (${inWords(error as NodeJS.ErrnoException)})`;
    throw new DataError(file, `${why}. Give another output_path.`, { cause: error });
  }
}
