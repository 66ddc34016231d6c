/** The folder of a suite that was begun: which of its runs need not be made again. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from '../errors.ts';
import type { Shard } from '../node/run-types.ts';
import type { RunRecord } from '../results/run-schema.ts';
import type { SuiteManifest } from '../results/summary-schema.ts';
import { DATA_FOLDER } from './inputs.ts';
import { MANIFEST_FILE, readManifest } from './manifest.ts';
import { type PlannedRun, RUNS_FOLDER } from './planned.ts';
import { RUN_SUFFIX, readRun } from './read-runs.ts';

export type Begun = {
  /** Null in a folder where nothing was begun. */
  readonly manifest: SuiteManifest | null;
  /** Records of runs that ended, by their file: well, or by a loss that left the finite, which it would again. */
  readonly done: ReadonlyMap<string, RunRecord>;
};

const ENDED: readonly string[] = ['success', 'diverged'];

/** Whether a folder that is not empty may be of a suite that was begun. */
export function maybeSuite(entries: readonly string[]): boolean {
  return entries.includes(MANIFEST_FILE) || entries.every((entry) => [DATA_FOLDER, RUNS_FOLDER].includes(entry));
}

/**
 * Finds the records of runs that ended, by the identity of what was asked for.
 * @throws ConfigError for a folder of another suite, another part of it, or of other settings, weights or rows; DataError
 */
export async function findBegun(
  directory: string,
  planned: readonly PlannedRun[],
  shard: Shard | null,
): Promise<Begun> {
  const manifest = await readManifest(directory);
  if (manifest === null) return { manifest, done: new Map() };
  const asked = new Map(planned.map((run) => [run.file, run]));
  const before = shardText(manifest.shard ?? null);
  if (before !== shardText(shard))
    throw refused(directory, `is of ${before} of the suite, and ${shardText(shard)} is asked for`);
  const noted = new Map(manifest.runs.map((run) => [run.file, run.plan_id]));
  const other =
    manifest.runs.find(({ file }) => !asked.has(file))?.file ?? planned.find(({ file }) => !noted.has(file))?.file;
  if (other !== undefined) {
    const isAsked = asked.has(other);
    throw refused(
      directory,
      `is of a suite ${isAsked ? 'without' : 'with'} the run ${other.slice(0, -RUN_SUFFIX.length)}, which is ${isAsked ? '' : 'not '}asked for now`,
    );
  }
  const changed = planned.find(({ file, planId }) => noted.get(file) !== planId);
  if (changed !== undefined)
    throw refused(directory, `holds ${changed.name} with other settings, weights or rows than are asked for now`);
  const done = new Map<string, RunRecord>();
  for (const file of await readdir(directory)) {
    const run = asked.get(file);
    if (run === undefined) continue;
    const record = await readRun(path.join(directory, file));
    if (ENDED.includes(record.run_info.status) && record.run_info.plan_id === run.planId) done.set(file, record);
  }
  return { manifest, done };
}

function shardText(shard: Shard | null): string {
  return shard === null ? 'the whole' : `part ${shard.i}/${shard.n}`;
}

function refused(directory: string, why: string): ConfigError {
  return new ConfigError([
    {
      path: '--resume',
      message: `${directory} ${why}; give the suite and the flags it was begun with, or a new folder`,
    },
  ]);
}
