/** A run from its configuration to its folder: checks, device, plan, training, record. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { ADAPTER_FILE } from '../adapters/files.ts';
import { type ResolvedConfig, reportersOf, type TrainConfig, wasSet } from '../config/index.ts';
import { DeviceError } from '../errors.ts';
import { advise } from '../estimate/advise.ts';
import { estimateThatFits, settleRun } from '../estimate/fit.ts';
import { tokenizerBytes } from '../formats/companions.ts';
import { type FileWriter, writeText } from '../formats/reader.ts';
import type { Device } from '../gpu/device.ts';
import { formatBytes } from '../report/format.ts';
import type { EnvironmentFacts } from '../report/sections/environment.ts';
import type { RunRecord } from '../results/run-schema.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import { type TrainResult, train } from '../train/run.ts';
import { savedBytes } from '../train/saved-bytes.ts';
import { type RunInput, readRunInput } from '../train/session.ts';
import { runTiers } from '../train/tiers.ts';
import type { ResumePoint } from '../train/train-options.ts';
import { nodeCheckpoints } from './checkpoint-store.ts';
import { watchOtherCpu } from './cpu-share.ts';
import { withDatasetFiles } from './dataset-files.ts';
import { freeBytesAt, requireRoom, requireWritable, type WrittenBytes } from './disk.ts';
import { codeInfo, gpuInfo, nvidiaSmi, runtimeInfo, sha256OfFile } from './environment.ts';
import { nodeReader, nodeWriter } from './files.ts';
import { driverMemory } from './gpu-memory.ts';
import { freeHostBytes, pagingNotes, requireHostMemory } from './host-memory.ts';
import { hubAccess } from './hub-access.ts';
import { fetchInputs, hubNames, namesOf } from './hub-inputs.ts';
import type { Snapshot } from './hub-snapshot.ts';
import { requireInputs } from './inputs.ts';
import { readMaterial } from './material.ts';
import { measureRun, sampleDriver } from './measure.ts';
import type { TakenFolder } from './output-folder.ts';
import { packageManifest, packageVersions } from './package-root.ts';
import { type RunContext, runRecord } from './record.ts';
import { findResumePoint, goesOnInFolder, type RunOrigin, requireSameRun, runOrigin } from './resume.ts';
import { openRowSpool, type RowSpool } from './row-spool.ts';
import { type Configs, configsOf, settle } from './run-configs.ts';
import { clearForResuming, RECORD_FILE, takeRunFolder, writeRunHead } from './run-folder.ts';
import { openRunLogs } from './run-logs.ts';
import { dataNotes, deviceNotes, tierNotes } from './run-notes.ts';
import { RunPage } from './run-page.ts';
import { pathsInFolder, readerWithRows, writeRows } from './run-rows.ts';
import type { RunOptions, RunOutcome, RunPaths, RunPlace } from './run-types.ts';
import { type NodeRuntime, openNodeRuntime } from './runtime.ts';
import { requireStrict } from './strict.ts';

/** Place of a run that belongs to no suite. */
export function placeOfSingleRun({ values }: ResolvedConfig, command: readonly string[]): RunPlace {
  return { suite: 'train', arm: values.method, replicate: 0, division: 'open', command };
}

/**
 * Runs a configuration and writes its folder; a run that ends early leaves its log. Always closes the device.
 * @throws ConfigError, DataError, DeviceError; the signal's reason when aborted, at the next step boundary
 */
export async function run(asked: ResolvedConfig, options: RunOptions): Promise<RunOutcome> {
  const calledMs = performance.now();
  const { keep = true, rows, startedMs = calledMs } = options;
  const clock = { startedMs, calledMs, createdAt: new Date().toISOString() };
  const given = await withDatasetFiles(asked);
  const onHub = await hubNames(namesOf(given.values));
  await requireInputs(given, { has: (name) => rows?.has(name) === true || onHub.has(name) });
  const folder = keep ? await takeRunFolder(given.values.output_dir, goesOnInFolder(given.values)) : null;
  const rowSpool = openRowSpool();
  try {
    return await runInFolder(folder, given, { ...options, rowSpool }, clock);
  } finally {
    await rowSpool.close();
    await folder?.release();
  }
}

type SpooledOptions = RunOptions & { readonly rowSpool: RowSpool };

async function runInFolder(
  folder: TakenFolder | null,
  given: ResolvedConfig,
  options: SpooledOptions,
  clock: Clock,
): Promise<RunOutcome> {
  const { device, onEvent, profileFile, rows = new Map() } = options;
  if (profileFile !== undefined) await requireWritable(profileFile, '--profile');
  const note = (text: string): void => onEvent({ type: 'note', text });
  const resume = folder === null ? null : await findResumePoint(given.values, note);
  const hub = () => hubAccess({ offline: given.values.offline, signal: options.signal, onEvent });
  const fetched = await fetchInputs(given, hub, 'model');
  const asGiven = await withAdapterSettings(fetched.config, nodeReader);
  const runtime = await openNodeRuntime(device);
  // who hears of the end may end this process
  const end = async (error: unknown): Promise<void> => {
    await folder?.release();
    onEvent({ type: 'end', error });
  };
  try {
    const outcome = await runOn(
      { ...runtime, readerOf: readerWithRows(runtime.readerOf, rows) },
      configsOf(asGiven, fetched, rows),
      resume,
      { ...options, snapshots: fetched.snapshots },
      clock,
    );
    await end(null);
    return outcome;
  } catch (error) {
    await end(error);
    throw error;
  } finally {
    await runtime.close();
  }
}

type Clock = {
  /** When the run's time began. */
  readonly startedMs: number;
  /** When max_minutes began. */
  readonly calledMs: number;
  readonly createdAt: string;
};

async function runOn(
  runtime: NodeRuntime,
  given: Configs,
  resume: ResumePoint | null,
  options: SpooledOptions & { readonly snapshots: readonly Snapshot[] },
  clock: Clock,
): Promise<RunOutcome> {
  const { place, signal, onEvent, profileFile, keep = true, freeBytes = freeBytesAt } = options;
  const note = (text: string): void => onEvent({ type: 'note', text });
  const { device } = runtime;
  const { configs, notes: dtypeNotes } = settle(given, device.profile);
  const { values } = configs.absolute;
  const { name, software } = device.profile;
  onEvent({ type: 'device', name, software, notes: [...deviceNotes(device), ...dtypeNotes] });
  const opened = await readRunInput(values, runtime.readerOf, options.rowSpool);
  const { input, note: choice } = settleRun(opened, device, driverMemory);
  signal.throwIfAborted();
  const { train: trainSet, evaluation, batches } = input;
  const { totalSteps } = batches;
  const notes = dataNotes(input, wasSet(configs.asGiven, 'max_length'));
  onEvent({ type: 'data', trainRows: trainSet.rows.count, evalRows: evaluation.rows.count, totalSteps, notes });
  // recorded without allocating, so that what the device cannot do is said before anything is written
  if (profileFile !== undefined && !device.profile.timestampQuery)
    throw new DeviceError(`--profile needs timestamp queries, which ${name} lacks: leave it out`);
  if (keep) await requireRoom(values.output_dir, await written(runtime, input), freeBytes);
  const tiers = runTiers(device.profile, values, input.layout.spec.config.head_dim);
  const predicted = await estimateThatFits(input, device, driverMemory);
  requireHostMemory(predicted, freeHostBytes());
  const { peakBytes, byCategory } = predicted;
  const memoryNotes = [`GPU memory needed: ${formatBytes(peakBytes)}`, ...pagingNotes(predicted)];
  const planNotes = [...tierNotes(tiers), ...memoryNotes, ...(choice === null ? [] : [choice])];
  onEvent({ type: 'plan', peakBytes, byCategory, notes: planNotes });
  const advice = [...advise(input, (key) => wasSet(configs.asGiven, key)), ...predicted.advice];
  requireStrict(configs.asGiven, { dtypeNotes, rowNotes: trainSet.notes, advice });
  for (const one of advice) onEvent({ type: 'advice', ...one });
  onEvent({ type: 'phase', phase: 'hash', total: 0 });
  const hashing = performance.now();
  const facts = await provenance(runtime, configs.asGiven, options.snapshots);
  const hash_s = (performance.now() - hashing) / 1000;
  const basis = { place, clock, predicted, ...facts };
  const origin = {
    nibble_version: packageManifest().version,
    run: runOrigin(configs.asGiven.values, basis.material, name),
  };
  if (resume !== null) requireSameRun(resume, origin.run, origin.nibble_version, note);
  const writer = keep ? nodeWriter(values.output_dir) : null;
  if (writer !== null) {
    const { code, meta } = basis;
    await clearForResuming(writer.root);
    await writeRows(writer, options.rows);
    const environment = { code, ...meta, ...tiers, tiles: device.profile.tiles ?? null };
    await writeRunHead(writer, pathsInFolder(configs.namedAbsolute, options.rows), environment);
  }
  const page =
    writer === null
      ? null
      : new RunPage({
          writer,
          config: configs.asGiven,
          environment: environmentOf(basis, device.profile.tier, tiers),
          command: place.command,
          totalSteps,
          progress: resume?.file.progress ?? null,
          startedMs: clock.calledMs,
        });
  const otherCpuShare = await watchOtherCpu();
  const before = sampleDriver(device);
  const startup = { startup_s: (performance.now() - clock.startedMs) / 1000 - hash_s, hash_s };
  const result = await trainToEnd(runtime, input, {
    ...options,
    startedMs: clock.calledMs,
    writer,
    settings: configs.asGiven.values,
    page,
    origin,
    resume,
  });
  const meta = await withConditions(basis.meta, await otherCpuShare());
  const paths = keep ? pathsOf(input, result, options) : null;
  const measuring = performance.now();
  const measured = await measureRun(device, result.engine, input, { profileFile, before });
  const measure_s = (performance.now() - measuring) / 1000;
  const known = { ...basis, meta, measured, startup: { ...startup, measure_s } };
  const record = runRecord(await contextOf(known, configs.named, paths, result), input, result);
  if (paths !== null) await writeRecord(paths.recordFile, record);
  return { ...outcomeOf(result), evaluations: result.evaluations, samples: result.samples, paths, record };
}

async function written({ readerOf }: NodeRuntime, input: RunInput): Promise<WrittenBytes> {
  return savedBytes(input, await tokenizerBytes(readerOf(input.config.model_name_or_path)));
}

type Keeping = {
  readonly writer: FileWriter | null;
  /** Settings with paths as they were given. */
  readonly settings: TrainConfig;
  readonly page: RunPage | null;
  readonly origin: { readonly nibble_version: string; readonly run: RunOrigin };
  readonly resume: ResumePoint | null;
  readonly startedMs: number;
};

/** Trains, passes events on and keeps the log. */
async function trainToEnd(
  runtime: NodeRuntime,
  input: RunInput,
  { signal, onEvent, writer, settings, page, origin, resume, startedMs }: RunOptions & Keeping,
): Promise<TrainResult> {
  const note = (text: string): void => onEvent({ type: 'note', text });
  if (resume !== null)
    note(`goes on after step ${resume.file.progress.step} of ${input.batches.totalSteps}: ${resume.reader.root}`);
  const { log: rows = [], samples = [] } = resume?.file.progress ?? {};
  if (writer === null && reportersOf(settings.report_to).length > 0)
    note('report_to: without an output_dir nothing is kept, and no log is written');
  const firstStep = resume === null ? 0 : resume.file.progress.step + 1;
  const log = writer === null ? null : await openRunLogs(writer, settings, { rows, samples, firstStep }, note);
  let isComplete = false;
  // a page that cannot be written ends no run
  const shown = async (written: Promise<void> | undefined): Promise<void> => {
    await written?.catch((error: Error) => note(error.message));
  };
  const running = train(runtime, input, {
    signal,
    writer,
    checkpoints: writer === null ? null : nodeCheckpoints(writer.root, settings.output_dir),
    origin: { ...origin, run: JSON.parse(JSON.stringify(origin.run)) },
    resume,
    onLogRow: (row) => {
      log?.add(row);
      onEvent({ type: 'log', row });
    },
    startedMs,
  });
  try {
    let next = await running.next();
    while (!next.done) {
      try {
        onEvent(next.value);
      } catch (error) {
        await endBy(error, running);
        throw error;
      }
      page?.hear(next.value);
      if (next.value.type === 'sample') log?.addTexts(next.value.samples);
      if (next.value.type === 'checkpoint' && !next.value.isStop) await shown(page?.write());
      next = await running.next();
    }
    isComplete = true;
    await shown(page?.end());
    return next.value;
  } catch (error) {
    await shown(page?.stop(error));
    throw error;
  } finally {
    await log?.close(isComplete);
  }
}

/** Ends a run whose listener threw as an abort does: it keeps its log, and nothing of it works on when the device closes. */
async function endBy(error: unknown, running: ReturnType<typeof train>): Promise<void> {
  try {
    let next = await running.throw(error);
    while (!next.done) next = await running.next();
  } catch {
    // the listener's error, which the caller throws
  }
}

/** What the page of a run says of where and with what it is made. */
function environmentOf(
  { meta, code, material }: Provenance,
  tier: Device['profile']['tier'],
  { attention, lora }: ReturnType<typeof runTiers>,
): EnvironmentFacts {
  return {
    meta_info: meta,
    run_info: { code },
    train_info: { tier, attention_tier: attention.tier, ...(lora && { lora_products: lora }) },
    eval_info: { data_hashes: material.dataHashes },
  };
}

type Provenance = Pick<RunContext, 'code' | 'material' | 'meta'>;

/** Collects what the run is made from and runs on. Reads every file of model and data once. */
async function provenance(
  { device, readerOf }: NodeRuntime,
  { values }: ResolvedConfig,
  snapshots: readonly Snapshot[],
): Promise<Provenance> {
  const material = await readMaterial(values, readerOf('.'), snapshots);
  return {
    code: await codeInfo(),
    material,
    meta: {
      model_info: material.modelInfo,
      dataset_info: material.datasetInfo,
      gpu: gpuInfo(device),
      nvidia_smi: await nvidiaSmi(),
      runtime: runtimeInfo(),
      package_info: packageVersions(),
    },
  };
}

/** Adds what only the end of a run tells of its times: who else used the processors, and the GPU's clocks under load. */
async function withConditions(
  meta: RunContext['meta'],
  otherCpuShare: number | undefined,
): Promise<RunContext['meta']> {
  const { nvidia_smi, runtime } = meta;
  return {
    ...meta,
    nvidia_smi: nvidia_smi && { ...nvidia_smi, clocks_after_training: (await nvidiaSmi())?.clocks ?? null },
    runtime: otherCpuShare === undefined ? runtime : { ...runtime, other_cpu_share: otherCpuShare },
  };
}

function pathsOf({ config, layout }: RunInput, { best }: TrainResult, { recordFile }: RunOptions): RunPaths {
  const { output_dir: outputDir } = config;
  return {
    outputDir,
    adapterFile: layout.lora === null ? null : path.join(outputDir, ADAPTER_FILE),
    recordFile: recordFile === undefined ? path.join(outputDir, RECORD_FILE) : path.resolve(recordFile),
    bestCheckpoint: best.checkpoint === null ? null : path.join(outputDir, best.checkpoint),
  };
}

async function contextOf(
  {
    clock,
    ...basis
  }: Provenance & Pick<RunContext, 'place' | 'predicted' | 'startup' | 'measured'> & { readonly clock: Clock },
  { values }: ResolvedConfig,
  paths: RunPaths | null,
  { earlierSeconds }: TrainResult,
): Promise<RunContext> {
  const adapterFile = paths?.adapterFile ?? null;
  return {
    ...basis,
    config: values,
    createdAt: clock.createdAt,
    totalSeconds: earlierSeconds + (performance.now() - clock.startedMs) / 1000,
    adapterBytes: adapterFile === null ? null : (await stat(adapterFile)).size,
    adapterSha256: adapterFile === null ? null : await sha256OfFile(adapterFile),
  };
}

async function writeRecord(file: string, record: RunRecord): Promise<void> {
  const { dir, base } = path.parse(file);
  await writeText(nodeWriter(dir), base, `${JSON.stringify(record, null, 2)}\n`);
}

function outcomeOf({ steps, timing, trainableParams, allParams, ledger }: TrainResult) {
  const { peakBytes, byCategory } = ledger.peak;
  return { steps, timing, trainableParams, allParams, peakBytes, byCategory: { ...byCategory } };
}
