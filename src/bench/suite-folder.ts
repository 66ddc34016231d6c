/** The folder of a suite beside its runs: suite.json, and the summary that is computed anew whenever it is read. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { DataError } from '../errors.ts';
import { writeText } from '../formats/reader.ts';
import { nodeWriter } from '../node/files.ts';
import type { RunRecord } from '../results/run-schema.ts';
import { summarizeRuns } from '../results/summarize.ts';
import {
  type ScaleUp,
  type SuiteManifest,
  type SuiteSummary,
  scaleUpSchema,
  suiteManifestSchema,
} from '../results/summary-schema.ts';
import { issueInWords, RUN_SUFFIX, readJson, readRun, runFilesIn } from './read-runs.ts';

export type SuiteResult = { readonly runs: readonly RunRecord[]; readonly summary: SuiteSummary };

const SUMMARY_FILE = 'summary.json';
export const MANIFEST_FILE = 'suite.json';

/**
 * Reads a folder again and summarizes its run files anew: of a suite, or of one run of `nibble train` as a suite of its
 * own. suite.json gives name, order and estimates; a folder without one, as an interrupted suite leaves it, is read in the
 * order its runs began.
 * @throws DataError naming the file that is absent or not a run
 */
export async function readSuiteFolder(directory: string): Promise<SuiteResult> {
  const runs = new Map<string, RunRecord>();
  for (const file of await runFilesIn(directory)) runs.set(path.basename(file), await readRun(file));
  const files = [...runs.keys()];
  requireEachOnce(directory, runs);
  const isSingle = !files.some((file) => file.endsWith(RUN_SUFFIX));
  const manifest = isSingle ? null : await readManifest(directory);
  const named = manifest?.runs.map(({ file }) => file) ?? [];
  const missing = named.filter((file) => !runs.has(file));
  const later = files
    .filter((file) => !named.includes(file))
    .sort((a, b) => runs.get(a)!.run_info.created_at.localeCompare(runs.get(b)!.run_info.created_at));
  const ordered = [...named, ...later].flatMap((file) => runs.get(file) ?? []);
  const first = ordered[0] as RunRecord;
  const isUnfinished = manifest === null && !isSingle;
  const summary = summarizeRuns(ordered, {
    suite: manifest?.suite ?? first.run_info.suite,
    createdAt: manifest?.created_at ?? first.run_info.created_at,
    estimates: manifest?.estimates ?? (await estimatesOfOldSummary(directory)),
    notices: [
      ...missing.map((file) => `${MANIFEST_FILE} names ${file}, which is not there`),
      ...(isUnfinished ? [`there is no ${MANIFEST_FILE}: the suite may not have reached its end`] : []),
    ],
  });
  return { runs: ordered, summary };
}

/** A copy of a record is no further evidence. @throws DataError for two records of one arm and seed */
function requireEachOnce(directory: string, runs: ReadonlyMap<string, RunRecord>): void {
  const seen = new Map<string, string>();
  for (const [file, { run_info }] of runs) {
    const key = `${run_info.arm}, seed ${run_info.seed}`;
    const other = seen.get(key);
    if (other !== undefined)
      throw new DataError(path.join(directory, file), `is arm ${key}, as is ${other}. Leave one of the two out.`);
    seen.set(key, file);
  }
}

/** Reads suite.json; null where there is none. @throws DataError */
async function readManifest(directory: string): Promise<SuiteManifest | null> {
  const file = path.join(directory, MANIFEST_FILE);
  if (!(await stat(file).catch(() => null))) return null;
  const json = await readJson(file);
  const parsed = suiteManifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new DataError(file, `is not a suite's list of runs: ${issueInWords(parsed.error.issues[0], json)}`);
}

/** Estimates of a folder from before suite.json held them; null where its summary has none. */
async function estimatesOfOldSummary(directory: string): Promise<ScaleUp | null> {
  const summary = await readJson(path.join(directory, SUMMARY_FILE)).catch(() => null);
  const parsed = scaleUpSchema.safeParse((summary as { estimates?: unknown } | null)?.estimates);
  return parsed.success ? parsed.data : null;
}

/** Writes the summary of a suite's runs into its folder. @throws DataError */
export async function writeSummary(directory: string, summary: SuiteSummary): Promise<void> {
  await writeText(nodeWriter(directory), SUMMARY_FILE, `${JSON.stringify(summary, null, 2)}\n`);
}
