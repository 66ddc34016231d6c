/** Runs a suite: every arm with every seed, interleaved, a process per run; then the summary. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Arm,
  type ResolvedConfig,
  type ResolvedSuite,
  type TrainConfig,
  wasSet,
  withValues,
} from '../config/index.ts';
import { ConfigError, type ConfigProblem, exitCodeOf } from '../errors.ts';
import { scaleUp } from '../estimate/scale-up.ts';
import { writeText } from '../formats/reader.ts';
import { openModel } from '../model/open.ts';
import { runScript } from '../node/child.ts';
import { loadShaders } from '../node/device.ts';
import type { DeviceChoice } from '../node/device-choice.ts';
import { type FreeBytes, freeBytesAt, requireRoom } from '../node/disk.ts';
import { nodeReader, nodeWriter } from '../node/files.ts';
import { type HubEvent, hubAccess } from '../node/hub-access.ts';
import { fetchInputs, hubNames, namesOf } from '../node/hub-inputs.ts';
import { requireInputs } from '../node/inputs.ts';
import { type RunRecord, SCHEMA_VERSION } from '../results/run-schema.ts';
import { summarizeRuns } from '../results/summarize.ts';
import type { ScaleUp, SuiteManifest } from '../results/summary-schema.ts';
import type { TrainEvent } from '../train/events.ts';
import { plannedWeightBytes } from '../train/saved-bytes.ts';
import { resolveBuiltins } from './builtin.ts';
import { failedRecord, type RunFailure } from './failed-record.ts';
import type { RunJob } from './job.ts';
import { RUN_SUFFIX, readRun } from './read-runs.ts';
import { MANIFEST_FILE, type SuiteResult, writeSummary } from './suite-folder.ts';
import type { WorkerMessage } from './worker.ts';

export type SuiteEvent =
  | { readonly type: 'run-start'; readonly name: string; readonly index: number; readonly total: number }
  | { readonly type: 'run-event'; readonly event: TrainEvent | HubEvent }
  | { readonly type: 'fetch-event'; readonly event: HubEvent }
  | { readonly type: 'run-end'; readonly name: string; readonly record: RunRecord };

type SuiteOptions = {
  /** Held by the caller while the suite runs. */
  readonly directory: string;
  readonly device: DeviceChoice;
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  readonly onEvent: (event: SuiteEvent) => void;
  /** Script that a run's process executes; replaced by tests. */
  readonly worker?: string;
  readonly freeBytes?: FreeBytes;
};

/** Kind of error for a run whose process ended by itself without a message, which is a bug. */
export const CRASH = 'Crash';
/** Kind of error for a run whose process the system or its driver ended: a signal came from outside. */
export const KILLED = 'Killed';

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));

/**
 * Runs a suite and writes its records, manifest and summary. Failed runs are recorded with their error and enter no
 * statistic; the others are still run and summarized.
 * @throws ConfigError before the first run when files are missing; the signal's reason, after which finished runs stay
 */
export async function runSuite(given: ResolvedSuite, options: SuiteOptions): Promise<SuiteResult> {
  const { directory, device, command, signal, onEvent, worker = WORKER, freeBytes = freeBytesAt } = options;
  const suite = await withCommits(given, options);
  const estimates = await scaleUpOrNull(suite);
  const order = interleave(suite);
  await requireAllInputs(suite, directory);
  await requireRoomForAll(suite, directory, freeBytes);
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
      device,
      command,
      recordFile,
    };
    await runOrRecord(job, { worker, signal, onEvent: (event) => onEvent({ type: 'run-event', event }) });
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
    estimates,
    runs: runs.map(({ run_info: { run_id, arm, seed, status } }) => ({
      run_id,
      arm,
      seed,
      status,
      file: `${arm}-seed${seed}${RUN_SUFFIX}`,
    })),
  };
  await writeText(writer, MANIFEST_FILE, `${JSON.stringify(manifest, null, 2)}\n`);
  await writeSummary(directory, summary);
  return { runs, summary };
}

/** Fetches what arms name on the hub once, before the first run, and fixes its commit: a branch may move between two runs. */
async function withCommits(suite: ResolvedSuite, { signal, onEvent }: SuiteOptions): Promise<ResolvedSuite> {
  const tell = (event: HubEvent): void => onEvent({ type: 'fetch-event', event });
  const arms: Arm[] = [];
  for (const { name, config } of suite.arms) {
    const hub = () => hubAccess({ offline: config.values.offline, signal, onEvent: tell });
    const { names } = await fetchInputs(config, hub, 'model');
    arms.push({ name, config: { ...config, values: { ...config.values, ...names } } });
  }
  return { ...suite, arms };
}

/** Finds missing files before the first run, since they would fail every run that names them. @throws ConfigError */
async function requireAllInputs({ arms, seeds }: ResolvedSuite, directory: string): Promise<void> {
  const problems = new Map<string, ConfigProblem>();
  for (const { name, config } of arms) {
    try {
      const first = await runConfig(config, seeds[0] ?? 0, directory, name);
      await requireInputs(first, await hubNames(namesOf(first.values)));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const problem of error.problems) problems.set(`${problem.path}: ${problem.message}`, problem);
    }
  }
  if (problems.size > 0) throw new ConfigError([...problems.values()]);
}

/** A run asks for itself as well; what all of them leave is known before the first. */
async function requireRoomForAll(
  { arms, seeds }: ResolvedSuite,
  directory: string,
  freeBytes: FreeBytes,
): Promise<void> {
  const parts: Record<string, number> = {};
  for (const { name, config } of arms) {
    const { values } = await runConfig(config, seeds[0] ?? 0, directory, name);
    const bytes = await weightBytesOrNone(values);
    parts[`${seeds.length} x ${name}`] = seeds.length * bytes;
  }
  await requireRoom(directory, parts, freeBytes);
}

/** A model that cannot be planned fails its runs, each with its own words. */
async function weightBytesOrNone(config: TrainConfig): Promise<number> {
  try {
    return await plannedWeightBytes(config, await openModel(config, nodeReader));
  } catch (error) {
    if (exitCodeOf(error) === 2) return 0;
    throw error;
  }
}

/** Estimates the reference models; null where they lack the layers that the suite's targets name. */
async function scaleUpOrNull({ arms }: ResolvedSuite): Promise<ScaleUp | null> {
  try {
    return await scaleUp((arms[0] as ResolvedSuite['arms'][number]).config.values, loadShaders());
  } catch (error) {
    if (exitCodeOf(error) === 2) return null;
    throw error;
  }
}

type Turn = { readonly arm: ResolvedSuite['arms'][number]; readonly seed: number; readonly replicate: number };

/** Orders runs A B, B A, A B ..., so that drift over time (heat, other load) meets every arm alike. */
function interleave({ arms, seeds }: ResolvedSuite): Turn[] {
  return seeds.flatMap((seed, replicate) => {
    const turn = arms.map((arm) => ({ arm, seed, replicate }));
    return replicate % 2 === 0 ? turn : turn.reverse();
  });
}

/** Sets what the suite decides for a run, and replaces `builtin:` names by files of the suite's folder. */
async function runConfig(
  config: ResolvedConfig,
  seed: number,
  directory: string,
  name: string,
): Promise<ResolvedConfig> {
  const { config: resolved } = await resolveBuiltins(config.values, path.join(directory, 'data'));
  const { model_name_or_path, datasets, eval_datasets } = resolved;
  const output_dir = path.join(directory, 'runs', name);
  // a comparison measures training: checkpoints, which it would only delete, are for those who ask
  const save_strategy = wasSet(config, 'save_strategy') ? config.values.save_strategy : 'no';
  const decided = withValues(config, { seed, output_dir, save_strategy }, { source: 'arm', where: 'the suite' });
  return { ...decided, values: { ...decided.values, model_name_or_path, datasets, eval_datasets } };
}

type Surroundings = {
  readonly worker: string;
  readonly signal: AbortSignal;
  readonly onEvent: (event: TrainEvent | HubEvent) => void;
};

/** Runs one job and leaves its record, whether it ends well or not. @throws the signal's reason */
async function runOrRecord(job: RunJob, surroundings: Surroundings): Promise<void> {
  const createdAt = new Date().toISOString();
  const started = performance.now();
  const failure = await runInChild(job, surroundings);
  if (failure === null) return;
  const record = await failedRecord(job, failure, { createdAt, totalSeconds: (performance.now() - started) / 1000 });
  const { dir, base } = path.parse(job.recordFile);
  await writeText(nodeWriter(dir), base, `${JSON.stringify(record, null, 2)}\n`);
}

/**
 * Runs a job in a process of its own, with which Dawn's memory goes, and in which no other arm has warmed a cache.
 * @returns what went wrong; null where nothing did
 */
async function runInChild(job: RunJob, { worker, signal, onEvent }: Surroundings): Promise<RunFailure | null> {
  signal.throwIfAborted();
  const ended = await runScript<WorkerMessage>(worker, {
    job,
    output: 'inherited',
    signal,
    onMessage: (message) => {
      if (message.kind === 'event') onEvent(message.event);
    },
    isLast: ({ kind }) => kind !== 'event',
  });
  signal.throwIfAborted();
  const { message: ending, code, signal: how } = ended;
  if (ending?.kind === 'failed') return { kind: ending.name, message: ending.message, stack: ending.stack };
  if (ending !== null) return null;
  const message = `its process ended with ${how ?? `code ${code}`} and no word of why${how === null ? '' : hintOf(how)}`;
  return { kind: how === null ? CRASH : KILLED, message, stack: null };
}

function hintOf(signal: NodeJS.Signals): string {
  if (signal === 'SIGKILL')
    return ' (the system may have had no memory left: lower per_device_train_batch_size or max_length)';
  if (signal === 'SIGSEGV' || signal === 'SIGABRT' || signal === 'SIGBUS')
    return ' (a driver may have crashed: nibble doctor tries it, NIBBLE_DEVICE chooses another)';
  return ' (somebody sent it)';
}
