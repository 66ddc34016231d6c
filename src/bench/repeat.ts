/** Makes the runs of a published folder again, and says what agrees. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { loadSuite, type ResolvedSuite, type TrainConfig } from '../config/index.ts';
import { ConfigError, type ConfigProblem, DataError } from '../errors.ts';
import { writeText } from '../formats/reader.ts';
import { nodeReader, nodeWriter } from '../node/files.ts';
import { type Agreement, compareRepeated, type Excuses } from '../results/repeat.ts';
import type { RunRecord } from '../results/run-schema.ts';
import type { SuiteInput, SuiteManifest } from '../results/summary-schema.ts';
import { withBudget } from './estimate-arm.ts';
import { readLocal, SUITE_FILE } from './inputs.ts';
import { MANIFEST_FILE, readManifest } from './manifest.ts';
import { requireUnchanged } from './publish.ts';
import { RUN_SUFFIX, readRun } from './read-runs.ts';
import { runSuite, type SuiteOptions } from './run-suite.ts';

/** A folder that can be repeated: its suite with the paths of this machine, and the records to hold against. */
export type Repeatable = {
  readonly suite: ResolvedSuite;
  readonly records: ReadonlyMap<string, RunRecord>;
  /** Names of the inputs by their paths here. */
  readonly inputNames: ReadonlyMap<string, string>;
};

/** How one run compares; `problem` where it was not made or ended otherwise. */
export type RepeatedRun = {
  readonly run: string;
  readonly agreements: readonly Agreement[];
  readonly excuses: Excuses;
  readonly problem: string | null;
};

export const REPEAT_FILE = 'repeat.json';

/**
 * Reads a folder, and finds what its runs read.
 * @param given paths of inputs that the folder does not hold, by their names
 * @param only runs to repeat, by name; none for all that ended well
 * @throws ConfigError for a folder that cannot be repeated, an input that is missing, and runs that it does not hold; DataError for
 * an edited record and an input of another content
 */
export async function readRepeatable(
  folder: string,
  given: ReadonlyMap<string, string>,
  only: readonly string[],
): Promise<Repeatable> {
  const manifest = await readManifest(folder);
  if (manifest?.inputs === undefined) throw new ConfigError([{ path: 'folder', message: whyNot(folder, manifest) }]);
  const records = await recordsOf(folder, manifest, only);
  const paths = await inputPaths(folder, manifest.inputs, given);
  const text = await nodeReader(folder).readText(SUITE_FILE);
  const suite = withPaths(loadSuite({ file: { path: path.join(folder, SUITE_FILE), text } }), paths);
  return { suite, records, inputNames: new Map([...paths].map(([name, at]) => [at, name])) };
}

function whyNot(folder: string, manifest: SuiteManifest | null): string {
  return manifest === null
    ? `${folder} holds no ${MANIFEST_FILE}; give the folder of a suite, as nibble bench publish leaves it`
    : `${folder} is of a nibble that did not note what its runs read; it can be reported, not repeated`;
}

async function recordsOf(
  folder: string,
  { runs }: SuiteManifest,
  only: readonly string[],
): Promise<ReadonlyMap<string, RunRecord>> {
  const found = new Map<string, RunRecord>();
  for (const { file } of runs) {
    const at = path.join(folder, file);
    if ((await stat(at).catch(() => null)) !== null) found.set(file.slice(0, -RUN_SUFFIX.length), await readRun(at));
  }
  const good = [...found].filter(([, { run_info }]) => run_info.status === 'success');
  const names = good.map(([name]) => name);
  const unknown = only.filter((name) => !names.includes(name));
  if (unknown.length > 0 || good.length === 0) {
    const known = names.length === 0 ? 'it has none that ended well' : `wanted one of ${names.join(', ')}`;
    throw new ConfigError([
      { path: '--only', message: `${folder} has no run ${unknown.join(', ')} to repeat; ${known}` },
    ]);
  }
  return new Map(good.filter(([name]) => only.length === 0 || only.includes(name)));
}

/** Absolute paths of the local inputs by their names; each has the content that the runs read. @throws ConfigError, DataError */
async function inputPaths(
  folder: string,
  inputs: readonly SuiteInput[],
  given: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<string, string>> {
  const local = await readLocal(folder);
  const needed = inputs.filter(({ from }) => from === 'folder' || from === 'reader');
  const problems: ConfigProblem[] = [...given.keys()]
    .filter((name) => !needed.some((input) => input.name === name))
    .map((name) => ({ path: '--input', message: `${name} is none that has to be given; ${listOf(needed)}` }));
  const found = new Map<string, string>();
  for (const input of needed) {
    const at =
      given.get(input.name) ?? (input.from === 'folder' ? path.join(folder, input.name) : local.get(input.name));
    if (at !== undefined) found.set(input.name, path.resolve(at));
    else
      problems.push({
        path: '--input',
        message: `${input.name} (${input.kind}) is not in ${folder}; get it from ${input.source ?? 'whoever published it'}, and say where it is: --input ${input.name}=PATH`,
      });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  for (const input of needed)
    await requireUnchanged(input, found.get(input.name)!, 'since the runs read it; get what they read');
  return found;
}

const listOf = (inputs: readonly SuiteInput[]): string =>
  inputs.length === 0 ? 'nothing has' : `wanted ${inputs.map(({ name }) => name).join(', ')}`;

/** Puts paths of this machine in the place of the names. */
function withPaths(suite: ResolvedSuite, paths: ReadonlyMap<string, string>): ResolvedSuite {
  const at = (name: string): string => paths.get(name) ?? name;
  const moved = (values: TrainConfig): TrainConfig => ({
    ...values,
    model_name_or_path: at(values.model_name_or_path),
    adapter_name_or_path: values.adapter_name_or_path === null ? null : at(values.adapter_name_or_path),
    chat_template_path: values.chat_template_path === null ? null : at(values.chat_template_path),
    datasets: values.datasets.map((set) => ({ ...set, path: at(set.path) })),
    eval_datasets: values.eval_datasets.map((set) => ({ ...set, path: at(set.path) })),
  });
  const cases = suite.cases.map((entry) => ({
    ...entry,
    arms: entry.arms.map(({ name, config }) => ({ name, config: { ...config, values: moved(config.values) } })),
  }));
  return { ...suite, cases };
}

/** Makes the runs again in a folder held by the caller, and compares them; the comparison is left there, too. */
export async function repeatRuns(
  { suite, records, inputNames }: Repeatable,
  options: SuiteOptions,
): Promise<RepeatedRun[]> {
  const { directory, signal } = options;
  const fitted = await withBudget(suite, { directory, signal });
  const { stopped } = await runSuite(fitted, { ...options, inputNames, only: new Set(records.keys()) });
  const compared: RepeatedRun[] = [];
  for (const [run, first] of records) {
    const again = await readRun(path.join(directory, `${run}${RUN_SUFFIX}`)).catch((error: unknown) => {
      if (error instanceof DataError) return null;
      throw error;
    });
    const problem = again === null ? (stopped ?? 'it was not made') : problemOf(again);
    if (again === null || problem !== null)
      compared.push({ run, agreements: [], excuses: { bits: [], bytes: [] }, problem });
    else compared.push({ run, ...compareRepeated(first, again), problem });
  }
  await writeText(nodeWriter(directory), REPEAT_FILE, `${JSON.stringify(compared, null, 2)}\n`);
  return compared;
}

function problemOf({ run_info: { status, error } }: RunRecord): string | null {
  return status === 'success' ? null : `it ended as ${status}${error === null ? '' : `: ${error.message}`}`;
}

/** Whether everything agrees that has to. */
export function isRepeated(runs: readonly RepeatedRun[]): boolean {
  return runs.every(
    ({ agreements, problem }) => problem === null && agreements.every(({ agrees, required }) => agrees || !required),
  );
}
