/** suite.json: what a suite asks, every run of it, and what has been made of it so far. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { ResolvedSuite } from '../config/index.ts';
import { DataError } from '../errors.ts';
import { writeText } from '../formats/reader.ts';
import type { CodeInfo } from '../node/environment.ts';
import { nodeWriter } from '../node/files.ts';
import type { Shard } from '../node/run-types.ts';
import {
  MANIFEST_VERSION,
  type ScaleUp,
  type SuiteInput,
  type SuiteManifest,
  suiteManifestSchema,
} from '../results/summary-schema.ts';
import type { PlannedRun } from './planned.ts';
import { issueInWords, readJson } from './read-runs.ts';

export const MANIFEST_FILE = 'suite.json';

type Circumstances = {
  readonly command: readonly string[];
  readonly shard: Shard | null;
  readonly estimates: ScaleUp | null;
  readonly code: CodeInfo;
  readonly inputs: readonly SuiteInput[];
};

/** The manifest of a suite none of whose runs has been made. */
export function manifestOf(
  suite: ResolvedSuite,
  planned: readonly PlannedRun[],
  { command, shard, estimates, code, inputs }: Circumstances,
): SuiteManifest {
  return {
    schema_version: MANIFEST_VERSION,
    suite: suite.suite,
    description: suite.description,
    division: suite.division,
    baseline: suite.baseline,
    created_at: new Date().toISOString(),
    command: [...command],
    code,
    inputs: [...inputs],
    estimates,
    device: null,
    shard: shard === null ? null : { ...shard },
    stopped: null,
    runs: planned.map((run) => ({
      run_id: null,
      plan_id: run.planId,
      arm: run.arm.name,
      case: run.case,
      seed: run.seed,
      status: null,
      file: run.file,
      ...(shard !== null && { shard: run.shard }),
    })),
  };
}

type Made = { readonly file: string; readonly seed: number; readonly run_id: string; readonly status: string };

/** Notes a run that was made. */
export function withRun(manifest: SuiteManifest, { file, run_id, status }: Made): SuiteManifest {
  return { ...manifest, runs: manifest.runs.map((run) => (run.file === file ? { ...run, run_id, status } : run)) };
}

/** @throws DataError */
export async function writeManifest(directory: string, manifest: SuiteManifest): Promise<void> {
  await writeText(nodeWriter(directory), MANIFEST_FILE, `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Reads suite.json; null where there is none. @throws DataError */
export async function readManifest(directory: string): Promise<SuiteManifest | null> {
  const file = path.join(directory, MANIFEST_FILE);
  if (!(await stat(file).catch(() => null))) return null;
  const json = await readJson(file);
  const parsed = suiteManifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new DataError(file, `is not a suite's list of runs: ${issueInWords(parsed.error.issues[0], json)}`);
}
