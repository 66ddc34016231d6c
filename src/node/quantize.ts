/** quantize(): writes a 4-bit copy of a model's folder beside its target, and renames it when it is complete. */
import { rm } from 'node:fs/promises';
import { checkQuantizeSettings, type QuantizeConfig, type QuantizeInput } from '../config/index.ts';

import { show } from '../config/show.ts';
import type { ConfigProblem } from '../errors.ts';

import { openCheckpoint } from '../formats/checkpoint.ts';
import { readModelConfig } from '../formats/hf-config.ts';
import { withPrefix } from '../model/base-prefix.ts';
import { type QuantizeJob, type QuantizeResult, quantizeCheckpoint } from '../model/quantize/checkpoint.ts';
import { type QuantizedLayout, type QuantizeSettings, quantizedLayout } from '../model/quantize/layout.ts';
import type { SpoolStore } from '../model/quantize/spool.ts';
import { withTiedHead } from '../model/tied-head.ts';
import { Codec } from '../wasm/codec.ts';
import type { CheckpointQuantType } from '../wasm/types.ts';
import { type CallOptions, callProblems, requireOptions, type WorkEvent } from './call.ts';
import { createQuantizerPool, loadWasmModule } from './codec.ts';
import { type FreeBytes, freeBytesAt, requireRoom } from './disk.ts';
import { nodeReader, nodeWriter } from './files.ts';
import { modelFolder } from './hub-folders.ts';
import { requireMovable, type TakenFolder, takeFolder } from './output-folder.ts';
import { openFileStore } from './spool.ts';
import { writeBeside } from './write-beside.ts';

/** Events of quantizing: every weight is quantized before the first file is written. */
export type QuantizeEvent = WorkEvent<'download' | 'quantize' | 'write'>;

export type QuantizeOptions = QuantizeInput &
  CallOptions<QuantizeEvent> & {
    /** Directory of a 16- or 32-bit Hugging Face model (config.json, safetensors), or its name on the hub. */
    readonly model_name_or_path: string;
    /** New or empty directory to write. */
    readonly output_dir: string;
  };

/** Summary of what was written, as `nibble quantize --json` prints it. */
export type QuantizeSummary = {
  readonly model: string;
  readonly out: string;
  readonly quant_type: CheckpointQuantType;
  readonly quantized_tensors: number;
  readonly quantized_parameters: number;
  /** Bits of codes and scales per quantized weight. */
  readonly bits_per_parameter: number;
  /** Linear modules that stay unquantized. */
  readonly kept_modules: readonly string[];
  readonly source_bytes: number;
  readonly bytes: number;
  /** Names of the weight files, in order. */
  readonly files: readonly string[];
  /** Names of the files copied from the source. */
  readonly copied: readonly string[];
  readonly seconds: number;
};

/**
 * Writes a 4-bit checkpoint that transformers and bitsandbytes load. Where an error or `signal` ends it early, it
 * leaves nothing.
 * @throws ConfigError with all that is wrong in the options; DataError for files that cannot be read, written or
 * quantized
 */
export async function quantize(options: QuantizeOptions): Promise<QuantizeSummary> {
  requireOptions('quantize', options, "{ model_name_or_path: './llama', output_dir: './llama-4bit' }");
  const { model_name_or_path, output_dir, onEvent, signal, ...given } = options;
  const missing = Object.entries({ model_name_or_path, output_dir }).flatMap(([path, value]): ConfigProblem[] => {
    if (typeof value === 'string' && value !== '') return [];
    const got = value === undefined ? 'is missing;' : `got ${show(value)},`;
    return [{ path, message: `${got} wanted the path of a directory (options)` }];
  });
  const config = checkQuantizeSettings(given, () => 'options', [...callProblems(options), ...missing]);
  const paths = { model: model_name_or_path, out: output_dir };
  return quantizeFolder(
    { ...paths, names: { model: 'model_name_or_path', out: 'output_dir' }, config },
    { onEvent, signal },
  );
}

type FolderJob = {
  readonly model: string;
  readonly out: string;
  /** Names that messages have for the two folders: arguments of a command, or options. */
  readonly names: { readonly model: string; readonly out: string };
  readonly config: QuantizeConfig;
};

/**
 * Does the work of quantize() and `nibble quantize`.
 * @param freeBytes free bytes of the disk below a directory; injected by tests
 */
export async function quantizeFolder(
  { model, out, names, config }: FolderJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<QuantizeEvent>,
  freeBytes: FreeBytes = freeBytesAt,
): Promise<QuantizeSummary> {
  signal.throwIfAborted();
  const { folder: source } = await modelFolder(model, { setting: names.model, ...config, signal, onEvent });
  await requireMovable(out, names.out);
  const folder = await takeFolder(out, { name: names.out, contents: 'none' });
  try {
    return await quantizeInto(folder, { model, source, config }, onEvent, signal, freeBytes);
  } finally {
    await folder.release();
  }
}

async function quantizeInto(
  folder: TakenFolder,
  { model, source: at, config: given }: Pick<FolderJob, 'model' | 'config'> & { readonly source: string },
  onEvent: (event: QuantizeEvent) => void,
  signal: AbortSignal,
  freeBytes: FreeBytes,
): Promise<QuantizeSummary> {
  const { directory: out } = folder;
  const reader = nodeReader(at);
  const notes: string[] = [];
  const config = await readModelConfig(reader, notes);
  const source = await withTiedHead(config, withPrefix(await openCheckpoint(reader), notes));
  const settings = settingsOf(given);
  const layout = await quantizedLayout(config, source, settings, notes);
  for (const text of notes) onEvent({ type: 'note', text });
  await requireRoom(
    out,
    { 'the checkpoint': layout.bytes, 'quantized weights once more meanwhile': layout.spoolBytes },
    freeBytes,
  );
  const started = performance.now();
  const wasm = await loadWasmModule();
  const quantizer = createQuantizerPool(wasm);
  try {
    const { maxShardBytes } = given;
    const codec = new Codec(wasm);
    const onNote = (text: string) => onEvent({ type: 'note', text });
    const onTensor = tellTensors(onEvent, layout);
    const job = { reader, source, config, settings, layout, maxShardBytes, quantizer, codec, signal, onTensor, onNote };
    const written = await writeQuantized(folder, job);
    return { ...summaryOf({ model, out }, layout, settings, written), seconds: (performance.now() - started) / 1000 };
  } finally {
    await quantizer.close();
  }
}

function writeQuantized(folder: TakenFolder, job: Omit<QuantizeJob, 'writer' | 'spool'>): Promise<QuantizeResult> {
  return writeBeside(folder, (partial) =>
    withSpool(partial, (spool) => quantizeCheckpoint({ ...job, writer: nodeWriter(partial), spool })),
  );
}

/** Works with a file for weights under way inside a folder, and removes it at the end. */
export async function withSpool<T>(folder: string, work: (spool: SpoolStore) => Promise<T>): Promise<T> {
  const file = `${folder}/spool`;
  const spool = await openFileStore(file);
  const result = await work(spool).finally(() => spool.close());
  await rm(file);
  return result;
}

/** Announces each of the two phases with its first tensor. */
function tellTensors(onEvent: (event: QuantizeEvent) => void, { tensors }: QuantizedLayout): QuantizeJob['onTensor'] {
  const totals = { quantize: tensors.filter(({ kind }) => kind === '4bit').length, write: tensors.length };
  const begun = new Set<string>();
  return (phase, label) => {
    if (!begun.has(phase)) onEvent({ type: 'phase', phase, total: totals[phase] });
    begun.add(phase);
    onEvent({ type: 'progress', phase, label });
  };
}

function settingsOf(config: QuantizeConfig): QuantizeSettings {
  return {
    quantType: config.bnb_4bit_quant_type,
    blockSize: config.bnb_4bit_blocksize,
    doubleQuant: config.bnb_4bit_use_double_quant,
    storage: config.bnb_4bit_quant_storage,
    dtype: config.dtype === 'auto' ? null : config.dtype,
    computeDtype: config.bnb_4bit_compute_dtype,
    skipModules: config.llm_int8_skip_modules,
  };
}

function summaryOf(
  paths: { readonly model: string; readonly out: string },
  layout: QuantizedLayout,
  { quantType }: QuantizeSettings,
  { files, copied }: QuantizeResult,
): Omit<QuantizeSummary, 'seconds'> {
  return {
    ...paths,
    quant_type: quantType,
    quantized_tensors: layout.tensors.filter(({ kind }) => kind === '4bit').length,
    quantized_parameters: layout.elements,
    bits_per_parameter: (8 * layout.spoolBytes) / layout.elements,
    kept_modules: layout.keptModules,
    source_bytes: layout.sourceBytes,
    bytes: layout.bytes,
    files,
    copied,
  };
}
