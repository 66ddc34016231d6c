/** Runs a suite: every arm with every seed in every case, interleaved, a process per run; then the summary. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type ResolvedSuite, suiteText, type TrainConfig } from '../config/index.ts';
import { exitCodeOf } from '../errors.ts';
import { scaleUp } from '../estimate/scale-up.ts';
import { writeText } from '../formats/reader.ts';
import { openModel } from '../model/open.ts';
import { loadShaders } from '../node/device.ts';
import type { DeviceChoice } from '../node/device-choice.ts';
import { type FreeBytes, freeBytesAt, requireRoom } from '../node/disk.ts';
import { codeInfo } from '../node/environment.ts';
import { nodeReader, nodeWriter } from '../node/files.ts';
import type { HubEvent } from '../node/hub-access.ts';
import type { Shard } from '../node/run-types.ts';
import type { RunRecord } from '../results/run-schema.ts';
import type { ScaleUp, SuiteManifest } from '../results/summary-schema.ts';
import type { TrainEvent } from '../train/events.ts';
import { plannedWeightBytes } from '../train/saved-bytes.ts';
import { changeOfState, deviceState } from './device-state.ts';
import { hashedInputs, type NamedInput, namedInputs, SUITE_FILE, writeLocal } from './inputs.ts';
import type { RunJob } from './job.ts';
import { manifestOf, withRun, writeManifest } from './manifest.ts';
import { type PlannedRun, planRuns, RUNS_FOLDER } from './planned.ts';
import { publicCommand } from './private-paths.ts';
import { readRun } from './read-runs.ts';
import { type Begun, findBegun } from './resume-suite.ts';
import { OtherDevice, runOrRecord, WORKER } from './run-child.ts';
import { readSuiteFolder, type SuiteResult, writeSummary } from './suite-folder.ts';
import { isInShard, turnsOf } from './turns.ts';

/** Ending of the file with the GPU times of a run's kernels, as a Chrome trace. */
const TRACE_SUFFIX = '.trace.json';

export type SuiteEvent =
  | { readonly type: 'plan'; readonly total: number; readonly done: number; readonly inOtherShards: number }
  | { readonly type: 'run-start'; readonly name: string; readonly index: number; readonly total: number }
  | { readonly type: 'run-event'; readonly event: TrainEvent | HubEvent }
  | { readonly type: 'fetch-event'; readonly event: HubEvent }
  | { readonly type: 'run-end'; readonly name: string; readonly record: RunRecord };

export type SuiteOptions = {
  /** Held by the caller while the suite runs. */
  readonly directory: string;
  readonly device: DeviceChoice;
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  readonly onEvent: (event: SuiteEvent) => void;
  /** The part to make; null for the whole. */
  readonly shard?: Shard | null;
  /** Runs to make, by name; all by default. */
  readonly only?: ReadonlySet<string>;
  /** Names of inputs that are to stay, by their paths. */
  readonly inputNames?: ReadonlyMap<string, string>;
  /** Script that a run's process executes; replaced by tests. */
  readonly worker?: string;
  readonly freeBytes?: FreeBytes;
};

/**
 * Runs a suite and writes its records, manifest and summary. A folder of the same suite is gone on with: runs that ended
 * there are not made again. Failed runs are recorded with their error and enter no statistic. A suite whose device
 * changes ends there, and its result says so.
 * @throws ConfigError before the first run when files are missing, or for a folder of another suite; the signal's reason,
 * after which finished runs stay
 */
export async function runSuite(suite: ResolvedSuite, options: SuiteOptions): Promise<SuiteResult> {
  const { directory, signal, onEvent, shard = null, freeBytes = freeBytesAt } = options;
  const onFetch = (event: HubEvent) => onEvent({ type: 'fetch-event', event });
  const inputs = await namedInputs(suite, options.inputNames);
  const { only } = options;
  const turns = turnsOf(suite, shard?.n).filter(({ name }) => only === undefined || only.has(name));
  const all = await planRuns(turns, { directory, inputs, signal, onEvent: onFetch });
  const own = all.filter((turn) => isInShard(turn, shard));
  const begun = await findBegun(directory, all, shard);
  const todo = own.filter(({ file }) => !begun.done.has(file));
  await requireRoomForAll(todo, directory, freeBytes);
  const command = publicCommand(options.command, inputs);
  const first = begun.manifest ?? (await newManifest(suite, all, inputs, { ...options, command }));
  let manifest: SuiteManifest = { ...begunOf(first, begun), stopped: null };
  await writeManifest(directory, manifest);
  await writeText(nodeWriter(directory), SUITE_FILE, textOf(suite, inputs));
  await writeLocal(directory, inputs);
  const done = own.length - todo.length;
  onEvent({ type: 'plan', total: own.length, done, inOtherShards: all.length - own.length });
  for (const [index, planned] of todo.entries()) {
    const place = { index: done + index, total: own.length };
    const next = await runNext(planned, { suite, manifest, options: { ...options, command }, ...place });
    manifest = next.manifest;
    await writeManifest(directory, manifest);
    if (next.record === null) break;
    onEvent({ type: 'run-end', name: planned.name, record: next.record });
  }
  const result = await readSuiteFolder(directory);
  await writeSummary(directory, result.summary);
  return { ...result, stopped: manifest.stopped ?? null };
}

type Next = {
  readonly suite: ResolvedSuite;
  readonly manifest: SuiteManifest;
  readonly options: SuiteOptions;
  readonly index: number;
  readonly total: number;
};

/** Makes one run; none where the device is not that of the runs before. */
async function runNext(
  planned: PlannedRun,
  { suite, manifest, options, index, total }: Next,
): Promise<{ manifest: SuiteManifest; record: RunRecord | null }> {
  const { directory, device, command, signal, onEvent, shard = null, worker = WORKER } = options;
  const { name, file, arm, replicate, seed, planId, names, config } = planned;
  onEvent({ type: 'run-start', name, index, total });
  const stop = (why: string) => ({
    manifest: { ...manifest, stopped: stopText(why, name, index, total) },
    record: null,
  });
  const state = await deviceState();
  const change = manifest.device ? changeOfState(manifest.device, state) : null;
  if (change !== null) return stop(change);
  // what a run left that was killed before its end
  await rm(path.join(directory, RUNS_FOLDER, name), { recursive: true, force: true });
  const recordFile = path.join(directory, file);
  const place = { suite: suite.suite, arm: arm.name, case: planned.case, replicate, division: suite.division, shard };
  const isProfiled = suite.profile && replicate === 0;
  const profileFile = isProfiled ? path.join(directory, `${name}${TRACE_SUFFIX}`) : null;
  const asked = { planId, names, target: suite.target, profileFile };
  const job: RunJob = { ...place, ...asked, config, device, command, recordFile };
  const mustBe = manifest.device?.name ?? null;
  let found: string | null = mustBe;
  try {
    await runOrRecord(
      { ...job, mustBe },
      {
        worker,
        signal,
        onDevice: (deviceName) => {
          found = deviceName;
        },
        onEvent: (event) => onEvent({ type: 'run-event', event }),
      },
    );
  } catch (error) {
    if (error instanceof OtherDevice) return stop(error.message);
    throw error;
  }
  const record = await readRun(recordFile);
  const { run_id, status } = record.run_info;
  const known = manifest.device ?? (found === null ? null : { name: found, ...state });
  return { manifest: withRun({ ...manifest, device: known }, { file, seed, run_id, status }), record };
}

function stopText(why: string, name: string, index: number, total: number): string {
  return `Stopped before run ${index + 1} of ${total} (${name}): ${why}`;
}

async function newManifest(
  suite: ResolvedSuite,
  planned: readonly PlannedRun[],
  named: readonly NamedInput[],
  { directory, command, shard = null }: SuiteOptions,
): Promise<SuiteManifest> {
  const [estimates, code] = [await scaleUpOrNull(suite), await codeInfo()];
  const inputs = await hashedInputs(named, suite, directory);
  return manifestOf(suite, planned, { command, shard, estimates, code, inputs });
}

/** The suite's file with everything that flags and variables said, and with public names. */
function textOf({ sources }: ResolvedSuite, inputs: readonly NamedInput[]): string {
  return suiteText(sources, new Map(inputs.map(({ given, name }) => [given, name])));
}

/** What earlier runs of this folder came to, by their records: a process may have been killed before it noted it. */
function begunOf(manifest: SuiteManifest, { done }: Begun): SuiteManifest {
  return [...done.values()].reduce(
    (noted, { run_info: { run_id, status, seed } }, i) =>
      withRun(noted, { file: [...done.keys()][i]!, seed, run_id, status }),
    manifest,
  );
}

/** A run asks for itself as well; what all of them leave is known before the first. */
async function requireRoomForAll(
  planned: readonly PlannedRun[],
  directory: string,
  freeBytes: FreeBytes,
): Promise<void> {
  const groups = new Map<string, PlannedRun[]>();
  for (const run of planned) {
    const name = run.case === null ? run.arm.name : `${run.arm.name} in ${run.case}`;
    groups.set(name, [...(groups.get(name) ?? []), run]);
  }
  const parts: Record<string, number> = {};
  for (const [name, [first, ...others]] of groups)
    if (first !== undefined)
      parts[`${1 + others.length} x ${name}`] = (1 + others.length) * (await weightBytesOrNone(first.config.values));
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
async function scaleUpOrNull({ cases }: ResolvedSuite): Promise<ScaleUp | null> {
  try {
    return await scaleUp(cases[0]!.arms[0]!.config.values, loadShaders());
  } catch (error) {
    if (exitCodeOf(error) === 2) return null;
    throw error;
  }
}
