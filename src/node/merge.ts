/** merge(): writes a model's folder with an adapter merged into its weights, and renames it when it is complete. */
import { type Adapter, checkOwnEmbeddings, openAdapter } from '../adapters/files.ts';
import { checkMergeSettings, type MergeConfig, type MergeInput } from '../config/merge.ts';
import type { ConfigProblem } from '../errors.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readModelConfig } from '../formats/hf-config.ts';
import { adapterBase } from '../model/adapter-base.ts';
import { withPrefix } from '../model/base-prefix.ts';
import { checkWeights } from '../model/check-weights.ts';
import { type MergeSettings, mergeCheckpoint, mergeLayout } from '../model/merge/checkpoint.ts';
import { adaptedCompanions } from '../model/merge/companions.ts';
import { withTiedHead } from '../model/tied-head.ts';
import { Codec } from '../wasm/codec.ts';
import { otherBaseNotes } from './adapter-names.ts';
import type { CallOptions, WorkEvent } from './call.ts';
import { createQuantizerPool, loadWasmModule } from './codec.ts';
import type { DeviceChoice } from './device-choice.ts';
import { type FreeBytes, freeBytesAt, requireRoom } from './disk.ts';
import { nodeReader, nodeWriter } from './files.ts';
import { adapterFolder, modelFolder } from './hub-folders.ts';
import { type MergeLoss, mergeLosses } from './merge-loss.ts';
import { requireMovable, type TakenFolder, takeFolder } from './output-folder.ts';
import { withSpool } from './quantize.ts';
import { writeBeside } from './write-beside.ts';

/** Events of merging; weights that are quantized again are so before the first file is written. */
export type MergeEvent = WorkEvent<'download' | 'quantize' | 'write' | 'load' | 'compile' | 'evaluate'>;

export type MergeOptions = MergeInput &
  CallOptions<MergeEvent> & {
    /** Directory of a Hugging Face model (config.json, safetensors), or its name on the hub. */
    readonly model_name_or_path: string;
    /** Directory of a PEFT adapter for it, or its name on the hub. */
    readonly adapter_name_or_path: string;
    /** New or empty directory to write. */
    readonly output_dir: string;
    /** What the losses of datasets are computed on. */
    readonly device?: DeviceChoice | undefined;
  };

/** How much of a weight an adapter changes. */
export type WeightUpdate = {
  readonly weight: string;
  readonly update_rms: number;
  readonly weight_rms: number;
  /** Mean step of a 4-bit code over this weight. */
  readonly step: number;
  /** update_rms / step: well below 1, 4 bits hold little of the update. */
  readonly update_per_step: number;
};

/** Summary of what was written, as `nibble merge --json` prints it. */
export type MergeSummary = {
  readonly model: string;
  readonly adapter: string;
  readonly out: string;
  /** `4bit` where the merged weights were quantized again, as the base was. */
  readonly written_as: 'dense' | '4bit';
  readonly updates: readonly WeightUpdate[];
  /** What merging cost: the loss of base and adapter, and of the merged model as it was written. None without datasets. */
  readonly losses: readonly MergeLoss[];
  readonly bytes: number;
  readonly files: readonly string[];
  readonly copied: readonly string[];
  readonly seconds: number;
};

/**
 * Merges an adapter into its base, with the bytes of PEFT's merge_and_unload. Where an error or `signal` ends it early, it leaves
 * nothing.
 * @throws ConfigError with all that is wrong in the options; DataError for files that cannot be read, written or merged
 */
export async function merge(options: MergeOptions): Promise<MergeSummary> {
  const { model_name_or_path, adapter_name_or_path, output_dir, onEvent, signal, device, ...given } = options;
  const paths = { model_name_or_path, adapter_name_or_path, output_dir };
  const missing = Object.entries(paths).flatMap(([path, value]): ConfigProblem[] =>
    typeof value === 'string' && value !== ''
      ? []
      : [{ path, message: 'is missing; wanted the path of a directory (options)' }],
  );
  const config = checkMergeSettings(given, () => 'options', missing);
  return mergeFolder(
    {
      model: model_name_or_path,
      adapter: adapter_name_or_path,
      out: output_dir,
      names: { model: 'model_name_or_path', adapter: 'adapter_name_or_path', out: 'output_dir' },
      config,
      device,
    },
    { onEvent, signal },
  );
}

type Folders = { readonly model: string; readonly adapter: string; readonly out: string };
type MergeJob = Folders & {
  /** What messages call the folders. */
  readonly names: Folders;
  readonly config: MergeConfig;
  readonly device?: DeviceChoice | undefined;
};

/**
 * Does the work of merge() and `nibble merge`.
 * @param freeBytes free bytes of the disk below a directory; injected by tests
 */
export async function mergeFolder(
  job: MergeJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<MergeEvent>,
  freeBytes: FreeBytes = freeBytesAt,
): Promise<MergeSummary> {
  signal.throwIfAborted();
  const { model, adapter, out, names, config } = job;
  const hub = { offline: config.offline, signal, onEvent };
  const adapterAt = await adapterFolder(adapter, { setting: names.adapter, ...hub });
  const modelAt = await modelFolder(model, { setting: names.model, model_revision: config.model_revision, ...hub });
  await requireMovable(out, names.out);
  const folder = await takeFolder(out, { name: names.out, contents: 'none' });
  const loss = mergeLosses(
    { model: modelAt.folder, adapter: adapterAt, config, device: job.device },
    { onEvent, signal },
  );
  try {
    const before = await loss.before();
    const merged = await mergeInto(folder, { ...job, modelAt: modelAt.folder, adapterAt }, onEvent, signal, freeBytes);
    return { ...merged, losses: await loss.after(out, before) };
  } finally {
    await folder.release();
  }
}

/** A job whose model and adapter are folders of this machine. */
type FoundJob = MergeJob & { readonly modelAt: string; readonly adapterAt: string };

async function mergeInto(
  folder: TakenFolder,
  { model, adapter: given, out, config: settingsGiven, modelAt, adapterAt }: FoundJob,
  onEvent: (event: MergeEvent) => void,
  signal: AbortSignal,
  freeBytes: FreeBytes,
): Promise<Omit<MergeSummary, 'losses'>> {
  const started = performance.now();
  const reader = nodeReader(modelAt);
  const notes: string[] = [];
  const config = await readModelConfig(reader, notes);
  const source = await withTiedHead(config, withPrefix(await openCheckpoint(reader), notes));
  await checkWeights(config, source, notes);
  const adapter: Adapter = await openAdapter(nodeReader(adapterAt), adapterBase(config));
  await checkOwnEmbeddings(adapter, source);
  const companions = await adaptedCompanions(reader, nodeReader(adapterAt), config.vocab_size, notes);
  const other = otherBaseNotes(adapter, { directory: given }, modelAt);
  for (const text of [...notes, ...adapter.notes, ...other]) onEvent({ type: 'note', text });
  const settings: MergeSettings = {
    dtype: settingsGiven.dtype === 'auto' ? null : settingsGiven.dtype,
    safeMerge: settingsGiven.safe_merge,
    dequantize: settingsGiven.dequantize,
  };
  const wasm = await loadWasmModule();
  const codec = new Codec(wasm);
  const layout = await mergeLayout({ config, source, adapter, codec }, settings);
  const room = { 'the merged model': layout.bytes, 'quantized weights once more meanwhile': layout.spoolBytes };
  await requireRoom(folder.directory, room, freeBytes);
  const quantizer = createQuantizerPool(wasm);
  try {
    const onNote = (text: string) => onEvent({ type: 'note', text });
    const onTensor = tellTensors(onEvent, layout);
    const { maxShardBytes } = settingsGiven;
    const { files, copied } = await writeBeside(folder, (partial) =>
      withSpool(partial, (spool) => {
        const written = { writer: nodeWriter(partial), spool, maxShardBytes };
        const job = { reader, config, quantizer, codec, signal, onTensor, onNote, companions, ...written };
        return mergeCheckpoint(job, layout, settings);
      }),
    );
    return {
      model,
      adapter: given,
      out,
      written_as: layout.quantized === null ? 'dense' : '4bit',
      updates: updatesOf(layout.source),
      bytes: layout.bytes,
      files,
      copied,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await quantizer.close();
  }
}

type Layout = Awaited<ReturnType<typeof mergeLayout>>;

function tellTensors(onEvent: (event: MergeEvent) => void, { source, quantized }: Layout) {
  const count = quantized?.layout.tensors.filter(({ kind }) => kind === '4bit').length ?? 0;
  const totals = { quantize: count, write: source.names().length };
  const begun = new Set<string>();
  return (phase: 'quantize' | 'write', label: string): void => {
    if (!begun.has(phase)) onEvent({ type: 'phase', phase, total: totals[phase] });
    begun.add(phase);
    onEvent({ type: 'progress', phase, label });
  };
}

function updatesOf(source: Layout['source']): WeightUpdate[] {
  return [...source.updates()].map(([weight, { updateRms, weightRms, stepMean, stepRatio }]) => ({
    weight,
    update_rms: updateRms,
    weight_rms: weightRms,
    step: stepMean,
    update_per_step: stepRatio,
  }));
}
