/** A run from its configuration to its folder: checks, device, plan, training, record. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { ADAPTER_FILE } from '../adapters/files.ts';
import { type ResolvedConfig, wasSet } from '../config/index.ts';
import type { MicroBatch } from '../data/batch.ts';
import { START } from '../data/batches.ts';
import { DeviceError } from '../errors.ts';
import { estimateThatFits } from '../estimate/fit.ts';
import { type FileWriter, writeText } from '../formats/reader.ts';
import { chromeTrace } from '../gpu/profiler.ts';
import { formatBytes } from '../report/format.ts';
import type { RunRecord } from '../results/run-schema.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import type { Engine } from '../train/engine.ts';
import { type TrainResult, train } from '../train/run.ts';
import { savedBytes } from '../train/saved-bytes.ts';
import { type RunInput, readRunInput } from '../train/session.ts';
import { runTiers } from '../train/tiers.ts';
import { watchOtherCpu } from './cpu-share.ts';
import { withDatasetFiles } from './dataset-files.ts';
import { freeBytesAt, requireRoom, requireWritable } from './disk.ts';
import { codeInfo, gpuInfo, nvidiaSmi, runtimeInfo, sha256OfFile } from './environment.ts';
import { nodeReader, nodeWriter } from './files.ts';
import { driverMemory } from './gpu-memory.ts';
import { requireInputs, withAbsolutePaths } from './inputs.ts';
import { readMaterial } from './material.ts';
import type { TakenFolder } from './output-folder.ts';
import { packageManifest } from './package-root.ts';
import { type RunContext, runRecord } from './record.ts';
import { openRowSpool, type RowSpool } from './row-spool.ts';
import { RECORD_FILE, takeRunFolder, writeRunHead } from './run-folder.ts';
import { dataNotes, deviceNotes, tierNotes } from './run-notes.ts';
import { pathsInFolder, readerWithRows, writeRows } from './run-rows.ts';
import type { Evaluation, RunEvent, RunOptions, RunOutcome, RunPaths, RunPlace } from './run-types.ts';
import { type NodeRuntime, openNodeRuntime } from './runtime.ts';

/** Place of a run that belongs to no suite. */
export function placeOfSingleRun({ values }: ResolvedConfig, command: readonly string[]): RunPlace {
  return { suite: 'train', arm: values.method, replicate: 0, division: 'open', command };
}

/**
 * The configuration with the settings that an adapter decides: with paths as they were given, and with absolute ones.
 */
type Configs = { readonly asGiven: ResolvedConfig; readonly absolute: ResolvedConfig };

/**
 * Runs a configuration and writes its folder; a run that ends early leaves its log. Always closes the device.
 * @throws ConfigError, DataError, DeviceError; the signal's reason when aborted, at the next step boundary
 */
export async function run(asked: ResolvedConfig, options: RunOptions): Promise<RunOutcome> {
  const clock = { startedMs: performance.now(), createdAt: new Date().toISOString() };
  const { keep = true, rows } = options;
  const given = await withDatasetFiles(asked);
  await requireInputs(given, rows);
  const folder = keep ? await takeRunFolder(given.values.output_dir) : null;
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
  const asGiven = await withAdapterSettings(given, nodeReader);
  const runtime = await openNodeRuntime(device);
  // who hears of the end may end this process
  const end = async (error: unknown): Promise<void> => {
    await folder?.release();
    onEvent({ type: 'end', error });
  };
  try {
    const outcome = await runOn(
      { ...runtime, readerOf: readerWithRows(runtime.readerOf, rows) },
      { asGiven, absolute: withAbsolutePaths(asGiven, rows) },
      options,
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

type Clock = { readonly startedMs: number; readonly createdAt: string };

async function runOn(
  runtime: NodeRuntime,
  configs: Configs,
  options: SpooledOptions,
  clock: Clock,
): Promise<RunOutcome> {
  const { place, signal, onEvent, profileFile, keep = true, freeBytes = freeBytesAt } = options;
  const { device } = runtime;
  const { values } = configs.absolute;
  const { name, software } = device.profile;
  onEvent({ type: 'device', name, software, notes: deviceNotes(device) });
  const input = await readRunInput(values, runtime.readerOf, options.rowSpool);
  signal.throwIfAborted();
  const { train: trainSet, evaluation, batches } = input;
  const { totalSteps } = batches;
  const notes = dataNotes(input, wasSet(configs.asGiven, 'max_length'));
  onEvent({ type: 'data', trainRows: trainSet.rows.count, evalRows: evaluation.rows.count, totalSteps, notes });
  // recorded without allocating, so that what the device cannot do is said before anything is written
  if (profileFile !== undefined && !device.profile.timestampQuery)
    throw new DeviceError(`--profile needs timestamp queries, which ${name} lacks: leave it out`);
  if (keep) await requireRoom(values.output_dir, savedBytes(input), freeBytes);
  const tiers = runTiers(device.profile, values, input.layout.spec.config.head_dim);
  const predicted = await estimateThatFits(input, device, driverMemory);
  const { peakBytes, byCategory } = predicted;
  const planNotes = [...tierNotes(tiers), `GPU memory needed: ${formatBytes(peakBytes)}`];
  onEvent({ type: 'plan', peakBytes, byCategory, notes: planNotes });
  onEvent({ type: 'phase', phase: 'hash', total: 0 });
  const basis = { place, clock, predicted, ...(await provenance(runtime, configs.asGiven)) };
  const writer = keep ? nodeWriter(values.output_dir) : null;
  if (writer !== null) {
    const { code, meta } = basis;
    await writeRows(writer, options.rows);
    const environment = { code, ...meta, ...tiers, tiles: device.profile.tiles ?? null };
    await writeRunHead(writer, pathsInFolder(configs.absolute, options.rows), environment);
  }
  const otherCpuShare = await watchOtherCpu();
  const { result, evaluations } = await trainAndCollect(runtime, input, writer, options);
  const meta = await withConditions(basis.meta, await otherCpuShare());
  const paths = keep ? pathsOf(input, options) : null;
  const record = runRecord(await contextOf({ ...basis, meta }, configs.asGiven, paths), input, result);
  if (paths !== null) await writeRecord(paths.recordFile, record);
  if (profileFile !== undefined) await writeProfile(result.engine, input, profileFile);
  result.engine.destroy();
  return { ...outcomeOf(result), evaluations, paths, record };
}

/** Trains, passes events on and collects the evaluations. */
async function trainAndCollect(
  runtime: NodeRuntime,
  input: RunInput,
  writer: FileWriter | null,
  { signal, onEvent }: RunOptions,
): Promise<{ result: TrainResult; evaluations: readonly Evaluation[] }> {
  const evaluations: Evaluation[] = [];
  const tell = (event: RunEvent): void => {
    if (event.type === 'eval') evaluations.push({ step: event.step, epoch: event.epoch, result: event.result });
    onEvent(event);
  };
  const running = train(runtime, input, { signal, writer });
  try {
    let next = await running.next();
    for (; !next.done; next = await running.next()) tell(next.value);
    return { result: next.value, evaluations };
  } finally {
    // ends a run whose listener threw, before the device closes; does nothing after the end
    await running.return(undefined as never);
  }
}

type Provenance = Pick<RunContext, 'code' | 'material' | 'meta'>;

/** Collects what the run is made from and runs on. Reads every file of model and data once. */
async function provenance({ device, readerOf }: NodeRuntime, { values }: ResolvedConfig): Promise<Provenance> {
  const material = await readMaterial(values, readerOf('.'));
  return {
    code: await codeInfo(),
    material,
    meta: {
      model_info: material.modelInfo,
      dataset_info: material.datasetInfo,
      gpu: gpuInfo(device),
      nvidia_smi: await nvidiaSmi(),
      runtime: runtimeInfo(),
      package_info: { ...packageManifest().dependencies },
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

function pathsOf({ config, layout }: RunInput, { recordFile }: RunOptions): RunPaths {
  const { output_dir: outputDir } = config;
  return {
    outputDir,
    adapterFile: layout.lora === null ? null : path.join(outputDir, ADAPTER_FILE),
    recordFile: recordFile === undefined ? path.join(outputDir, RECORD_FILE) : path.resolve(recordFile),
  };
}

async function contextOf(
  { clock, ...basis }: Provenance & Pick<RunContext, 'place' | 'predicted'> & { readonly clock: Clock },
  { values }: ResolvedConfig,
  paths: RunPaths | null,
): Promise<RunContext> {
  const adapterFile = paths?.adapterFile ?? null;
  return {
    ...basis,
    config: values,
    createdAt: clock.createdAt,
    totalSeconds: (performance.now() - clock.startedMs) / 1000,
    adapterBytes: adapterFile === null ? null : (await stat(adapterFile)).size,
    adapterSha256: adapterFile === null ? null : await sha256OfFile(adapterFile),
  };
}

async function writeRecord(file: string, record: RunRecord): Promise<void> {
  const { dir, base } = path.parse(file);
  await writeText(nodeWriter(dir), base, `${JSON.stringify(record, null, 2)}\n`);
}

/** Profiles one more step and writes its GPU times for chrome://tracing or Perfetto. */
async function writeProfile(engine: Engine, { batches }: RunInput, file: string): Promise<void> {
  const [batch] = (await batches.train.step(START)).microBatches as [MicroBatch];
  const spans = await engine.profileStep(batch);
  await writeFileAtomic(file, `${JSON.stringify(chromeTrace(spans))}\n`);
}

function outcomeOf({ steps, timing, trainableParams, allParams, ledger }: TrainResult) {
  const { peakBytes, byCategory } = ledger.peak;
  return { steps, timing, trainableParams, allParams, peakBytes, byCategory: { ...byCategory } };
}
