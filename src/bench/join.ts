/** Joins the runs of several folders into one comparison: suites of other days or machines, and peers. */
import { DataError } from '../errors.ts';
import { caseOf, groupText } from '../results/groups.ts';
import type { RunRecord } from '../results/run-schema.ts';
import { summarizeRuns } from '../results/summarize.ts';
import { readRun, runFilesIn } from './read-runs.ts';
import type { SuiteResult } from './suite-folder.ts';

/**
 * Reads every run file of the folders and summarizes them together; the folders' own summaries are not read.
 * @throws DataError for a folder without runs, a file that is no run, and an arm and seed that two folders hold
 */
export async function joinFolders(folders: readonly string[], createdAt: string): Promise<SuiteResult> {
  const runs: RunRecord[] = [];
  const seen = new Map<string, string>();
  for (const folder of folders) {
    for (const file of await runFilesIn(folder)) {
      const run = await readRun(file);
      const { arm, seed } = run.run_info;
      const key = `${groupText({ arm, case: caseOf(run) })}, seed ${seed}`;
      const other = seen.get(key);
      if (other !== undefined)
        throw new DataError(file, `is arm ${key}, as is ${other}: an arm of one name is one thing. Leave one out`);
      seen.set(key, file);
      runs.push(run);
    }
  }
  const suite = [...new Set(runs.map((run) => run.run_info.suite))].join(' + ');
  return { runs, summary: summarizeRuns(runs, { suite, createdAt }), stopped: null };
}
