/** A suite: every arm with every seed, interleaved, a process per run; then the summary. */
import { fork } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ResolvedConfig, type ResolvedSuite, withValues } from '../config/index.ts';
import { ConfigError, DataError, exitCodeOf } from '../errors.ts';
import { nodeWriter } from '../formats/node.ts';
import { writeText } from '../formats/reader.ts';
import { type AdapterChoice, loadShaders } from '../gpu/node.ts';
import type { TrainEvent } from '../train/events.ts';
import { resolveBuiltins } from './builtin.ts';
import type { RunJob } from './run-one.ts';
import { scaleUp } from './scale-up.ts';
import { type RunRecord, runSchema, SCHEMA_VERSION } from './schema.ts';
import { summarizeRuns } from './summarize.ts';
import { type ScaleUp, type SuiteManifest, type SuiteSummary, suiteSummarySchema } from './summary-schema.ts';
import type { WorkerMessage } from './worker.ts';

export type SuiteEvent =
  | { readonly type: 'run-start'; readonly name: string; readonly index: number; readonly total: number }
  | { readonly type: 'run-event'; readonly event: TrainEvent }
  | { readonly type: 'run-end'; readonly name: string; readonly record: RunRecord };

export type SuiteOptions = {
  readonly directory: string;
  readonly adapter: AdapterChoice;
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  readonly onEvent: (event: SuiteEvent) => void;
};

export type SuiteResult = { readonly runs: readonly RunRecord[]; readonly summary: SuiteSummary };

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));
const SUMMARY_FILE = 'summary.json';
const MANIFEST_FILE = 'suite.json';
export const RUN_SUFFIX = '.run.json';

/** @throws whatever a run failed with: nothing is summarized then, what finished stays on disk */
export async function runSuite(suite: ResolvedSuite, options: SuiteOptions): Promise<SuiteResult> {
  const { directory, adapter, command, signal, onEvent } = options;
  const estimates = await scaleUpOrNull(suite);
  const order = interleave(suite);
  const runs: RunRecord[] = [];
  for (const [index, { arm, seed, replicate }] of order.entries()) {
    const name = `${arm.name}-seed${seed}`;
    onEvent({ type: 'run-start', name, index, total: order.length });
    const config = await runConfig(arm.config, seed, directory, name);
    const recordFile = path.join(directory, `${name}${RUN_SUFFIX}`);
    const job = {
      suite: suite.suite,
      arm: arm.name,
      replicate,
      division: suite.division,
      config,
      adapter,
      command,
      recordFile,
    };
    await runInChild(job, signal, (event) => onEvent({ type: 'run-event', event }));
    const record = await readRun(recordFile);
    runs.push(record);
    onEvent({ type: 'run-end', name, record });
  }
  const summary = summarizeRuns(runs, { suite: suite.suite, createdAt: new Date().toISOString(), estimates });
  const writer = nodeWriter(directory);
  const manifest: SuiteManifest = {
    schema_version: SCHEMA_VERSION,
    suite: suite.suite,
    created_at: summary.created_at,
    command: [...command],
    runs: runs.map(({ run_info: { run_id, arm, seed, status } }) => ({
      run_id,
      arm,
      seed,
      status,
      file: `${arm}-seed${seed}${RUN_SUFFIX}`,
    })),
  };
  await writeText(writer, MANIFEST_FILE, `${JSON.stringify(manifest, null, 2)}\n`);
  await writeText(writer, SUMMARY_FILE, `${JSON.stringify(summary, null, 2)}\n`);
  return { runs, summary };
}

/** Targets that name a layer of this model need not exist in the reference models; the report then goes without that table. */
async function scaleUpOrNull({ arms }: ResolvedSuite): Promise<ScaleUp | null> {
  try {
    return await scaleUp((arms[0] as ResolvedSuite['arms'][number]).config.values, loadShaders());
  } catch (error) {
    if (exitCodeOf(error) === 2) return null;
    throw error;
  }
}

/** Reads a finished suite's folder again. @throws DataError naming the file that is absent or not a run */
export async function readSuiteFolder(directory: string): Promise<SuiteResult> {
  const files = (await readdir(directory).catch(() => [])).filter((f) => f.endsWith(RUN_SUFFIX)).sort();
  if (files.length === 0)
    throw new DataError(directory, `holds no *${RUN_SUFFIX}: give the folder that nibble bench run printed`);
  const runs = await Promise.all(files.map((f) => readRun(path.join(directory, f))));
  const summary = suiteSummarySchema.safeParse(await readJson(path.join(directory, SUMMARY_FILE)));
  if (!summary.success)
    throw new DataError(
      path.join(directory, SUMMARY_FILE),
      `is not a suite summary: ${summary.error.issues[0]?.message}`,
    );
  const byId = new Map(runs.map((run) => [run.run_info.run_id, run]));
  const ordered = summary.data.run_ids.flatMap((id) => byId.get(id) ?? []);
  return { runs: ordered.length === runs.length ? ordered : runs, summary: summary.data };
}

/** One run file, checked. @throws DataError naming the file and what is wrong in it */
export async function readRun(file: string): Promise<RunRecord> {
  const parsed = runSchema.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new DataError(file, `is not a run of schema v1: ${issue?.path.join('.')}: ${issue?.message}`);
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new DataError(file, `cannot be read as JSON: ${(cause as Error).message}`, { cause });
  }
}

type Turn = { readonly arm: ResolvedSuite['arms'][number]; readonly seed: number; readonly replicate: number };

/** A B, B A, A B ...: what drifts over time (heat, other load) meets every arm alike. */
function interleave({ arms, seeds }: ResolvedSuite): Turn[] {
  return seeds.flatMap((seed, replicate) => {
    const turn = arms.map((arm) => ({ arm, seed, replicate }));
    return replicate % 2 === 0 ? turn : turn.reverse();
  });
}

/** Sets what the suite decides for a run, and turns `builtin:` names into files of the suite's folder. */
async function runConfig(
  config: ResolvedConfig,
  seed: number,
  directory: string,
  name: string,
): Promise<ResolvedConfig> {
  const { config: resolved } = await resolveBuiltins(config.values, path.join(directory, 'data'));
  const { model_name_or_path, datasets, eval_datasets } = resolved;
  const output_dir = path.join(directory, 'runs', name);
  const values = { seed, output_dir, model_name_or_path, datasets, eval_datasets };
  return withValues(config, values, { source: 'arm', where: 'the suite' });
}

/** One process per run: Dawn's memory goes with it, and no arm warms the other's caches. */
async function runInChild(job: RunJob, signal: AbortSignal, onEvent: (event: TrainEvent) => void): Promise<void> {
  signal.throwIfAborted();
  const child = fork(WORKER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  signal.addEventListener('abort', stop, { once: true });
  const endings: WorkerMessage[] = [];
  child.on('message', (message: WorkerMessage) => {
    if (message.kind === 'event') return onEvent(message.event);
    endings.push(message);
    // All that counts is on disk, and webgpu 0.6.2 was seen to hang while a process took its device down.
    child.kill('SIGKILL');
  });
  child.send(job);
  const [code, how] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.once('close', (c, s) => resolve([c, s])),
  );
  signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
  const [ending] = endings;
  if (ending?.kind === 'failed') throw revive(ending);
  if (ending === undefined) {
    const run = `run ${job.arm}, seed ${job.config.values.seed}`;
    throw new Error(`the process of ${run} ended with ${how ?? `code ${code}`} and no word of why`);
  }
}

/** The child has named the file or the setting in its message; what matters here is who can mend it. */
function revive({ message, stack }: Extract<WorkerMessage, { kind: 'failed' }>): Error {
  if (stack === null) return new ConfigError([{ path: '', message }]);
  return Object.assign(new Error(message), { stack });
}
