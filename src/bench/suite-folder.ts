/** The folder of a suite beside its runs: suite.json, and the summary that is computed anew whenever it is read. */
import path from 'node:path';
import { DataError } from '../errors.ts';
import { writeText } from '../formats/reader.ts';
import { nodeWriter } from '../node/files.ts';
import { counted } from '../report/format.ts';
import { caseOf, groupText } from '../results/groups.ts';
import type { RunRecord } from '../results/run-schema.ts';
import { type SummarizeOptions, summarizeRuns } from '../results/summarize.ts';
import { type ScaleUp, type SuiteManifest, type SuiteSummary, scaleUpSchema } from '../results/summary-schema.ts';
import { MANIFEST_FILE, readManifest } from './manifest.ts';
import { RUN_SUFFIX, readJson, readRun, runFilesIn } from './read-runs.ts';

export type SuiteResult = {
  readonly runs: readonly RunRecord[];
  readonly summary: SuiteSummary;
  /** Why a suite ended before its last run; null where it did not. */
  readonly stopped: string | null;
};

const SUMMARY_FILE = 'summary.json';

/**
 * Reads a folder again and summarizes its run files anew: of a suite, or of one run of `nibble train` as a suite of its
 * own. suite.json gives name, order and estimates, and what an interrupted suite lacks; a folder without one is read in
 * the order its runs began.
 * @throws DataError naming the file that is absent or not a run
 */
export async function readSuiteFolder(directory: string): Promise<SuiteResult> {
  const manifest = await readManifest(directory);
  // a shard may be left without a run, and a suite be stopped before its first
  const paths = manifest === null ? await runFilesIn(directory) : await runFilesIn(directory).catch(() => []);
  const runs = new Map<string, RunRecord>();
  for (const file of paths) runs.set(path.basename(file), await readRun(file));
  requireEachOnce(directory, runs);
  const summary = { ...(await summaryOptions(directory, manifest, runs)) };
  const ordered = inOrder(manifest, runs);
  return { runs: ordered, summary: summarizeRuns(ordered, summary), stopped: manifest?.stopped ?? null };
}

/** Runs in the order of suite.json, then those it does not name, by their beginning. */
function inOrder(manifest: SuiteManifest | null, runs: ReadonlyMap<string, RunRecord>): RunRecord[] {
  const named = manifest?.runs.map(({ file }) => file) ?? [];
  const later = [...runs.keys()]
    .filter((file) => !named.includes(file))
    .sort((a, b) => runs.get(a)!.run_info.created_at.localeCompare(runs.get(b)!.run_info.created_at));
  return [...named, ...later].flatMap((file) => runs.get(file) ?? []);
}

async function summaryOptions(
  directory: string,
  manifest: SuiteManifest | null,
  runs: ReadonlyMap<string, RunRecord>,
): Promise<SummarizeOptions> {
  const [first] = inOrder(manifest, runs);
  const isSingle = ![...runs.keys()].some((file) => file.endsWith(RUN_SUFFIX));
  return {
    suite: manifest?.suite ?? first?.run_info.suite ?? path.basename(path.resolve(directory)),
    description: manifest?.description,
    division: manifest?.division ?? first?.run_info.division,
    baseline: manifest?.baseline,
    createdAt: manifest?.created_at ?? first?.run_info.created_at ?? new Date().toISOString(),
    estimates: manifest?.estimates ?? (await estimatesOfOldSummary(directory)),
    notices:
      manifest === null
        ? isSingle
          ? []
          : [`there is no ${MANIFEST_FILE}: the suite may not have reached its end`]
        : missingNotices(manifest, runs),
  };
}

/** Missing runs that a sentence names; more are counted. */
const MOST_NAMED = 8;

/** Says why a suite ended early, which of its runs are missing, and that others make the rest. */
function missingNotices(
  { runs: planned, shard = null, stopped = null }: SuiteManifest,
  runs: ReadonlyMap<string, RunRecord>,
): string[] {
  const own = planned.filter((run) => shard === null || run.shard === shard.i);
  const missing = own.filter(({ file }) => !runs.has(file)).map(({ file }) => file.replace(RUN_SUFFIX, ''));
  const more = missing.length > MOST_NAMED ? ` and ${missing.length - MOST_NAMED} more` : '';
  const unknown = [...runs.keys()].filter((file) => !planned.some((run) => run.file === file));
  return [
    ...(stopped === null ? [] : [stopped]),
    ...(missing.length === 0
      ? []
      : [
          `${missing.length} of ${counted(own.length, 'run')} are missing: ${missing.slice(0, MOST_NAMED).join(', ')}${more}`,
        ]),
    ...(shard === null
      ? []
      : [
          `This is part ${shard.i} of ${shard.n}: ${planned.length - own.length} of ${counted(planned.length, 'run')} are in the other parts`,
        ]),
    ...(unknown.length === 0 ? [] : [`${MANIFEST_FILE} does not name ${unknown.join(', ')}`]),
  ];
}

/** A copy of a record is no further evidence. @throws DataError for two records of one arm, seed and case */
function requireEachOnce(directory: string, runs: ReadonlyMap<string, RunRecord>): void {
  const seen = new Map<string, string>();
  for (const [file, run] of runs) {
    const { arm, seed } = run.run_info;
    const key = `${groupText({ arm, case: caseOf(run) })}, seed ${seed}`;
    const other = seen.get(key);
    if (other !== undefined)
      throw new DataError(path.join(directory, file), `is arm ${key}, as is ${other}. Leave one of the two out.`);
    seen.set(key, file);
  }
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
