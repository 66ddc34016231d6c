/** From a model's folder to a 4-bit one: all is written beside the target and takes its name when it is complete. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, rmdir, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { checkQuantizeSettings, type QuantizeConfig, type QuantizeInput } from '../config/index.ts';
import { ConfigError, type ConfigProblem, DataError } from '../errors.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readModelConfig } from '../formats/hf-config.ts';
import { withPrefix } from '../model/base-prefix.ts';
import { type QuantizeJob, type QuantizeResult, quantizeCheckpoint } from '../model/quantize/checkpoint.ts';
import { planQuantization, type QuantizePlan, type QuantizeSettings } from '../model/quantize/plan.ts';
import { withTiedHead } from '../model/tied-head.ts';
import { formatBytes } from '../report/format.ts';
import { Codec } from '../wasm/codec.ts';
import type { CallOptions, WorkEvent } from './call.ts';
import { createQuantizerPool, loadWasmModule } from './codec.ts';
import { nodeReader, nodeWriter } from './files.ts';
import { requireModelFolder } from './inputs.ts';
import { openFileStore } from './spool.ts';

/** Every weight is quantized before the first file is written. */
export type QuantizeEvent = WorkEvent<'quantize' | 'write'>;

export type QuantizeOptions = QuantizeInput &
  CallOptions<QuantizeEvent> & {
    /** Directory of a 16- or 32-bit Hugging Face model: config.json and safetensors. */
    readonly model_name_or_path: string;
    /** Directory to write; it must be empty or new. */
    readonly output_dir: string;
  };

/** What was written; `nibble quantize --json` prints the same. */
export type QuantizeSummary = {
  readonly model: string;
  readonly out: string;
  readonly quant_type: 'nf4' | 'fp4';
  readonly quantized_tensors: number;
  readonly quantized_parameters: number;
  /** Codes and scales of the quantized weights. */
  readonly bits_per_parameter: number;
  /** Linear modules that stay as they are. */
  readonly kept_modules: readonly string[];
  readonly source_bytes: number;
  readonly bytes: number;
  /** Weight files, in order. */
  readonly files: readonly string[];
  /** Files copied from the source. */
  readonly copied: readonly string[];
  readonly seconds: number;
};

/**
 * Writes a 4-bit checkpoint that transformers and bitsandbytes load. Ended early, by an error or by `signal`, it leaves nothing.
 * @throws ConfigError with all that is wrong in the options; DataError for files that cannot be read, written or quantized
 */
export async function quantize(options: QuantizeOptions): Promise<QuantizeSummary> {
  const { model_name_or_path, output_dir, onEvent, signal, ...given } = options;
  const missing = Object.entries({ model_name_or_path, output_dir }).flatMap(([path, value]): ConfigProblem[] =>
    typeof value === 'string' && value !== ''
      ? []
      : [{ path, message: 'is missing; wanted the path of a directory (options)' }],
  );
  const config = checkQuantizeSettings(given, () => 'options', missing);
  const paths = { model: model_name_or_path, out: output_dir };
  return quantizeFolder(
    { ...paths, names: { model: 'model_name_or_path', out: 'output_dir' }, config },
    { onEvent, signal },
  );
}

export type FolderJob = {
  readonly model: string;
  readonly out: string;
  /** What messages call the two: an argument of a command, or an option. */
  readonly names: { readonly model: string; readonly out: string };
  readonly config: QuantizeConfig;
};

/** The work behind quantize() and `nibble quantize`. `freeBytes` of the disk below a directory is injected by tests. */
export async function quantizeFolder(
  { model, out, names, config: given }: FolderJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<QuantizeEvent>,
  freeBytes: (directory: string) => Promise<number> = freeBytesAt,
): Promise<QuantizeSummary> {
  signal.throwIfAborted();
  await requireModelFolder(names.model, model);
  await requireEmpty(names.out, out);
  const reader = nodeReader(model);
  const notes: string[] = [];
  const config = await readModelConfig(reader, notes);
  const source = await withTiedHead(config, withPrefix(await openCheckpoint(reader), notes));
  const settings = settingsOf(given);
  const plan = await planQuantization(config, source, settings, notes);
  for (const text of notes) onEvent({ type: 'note', text });
  requireRoom(out, plan, await freeBytes(dirname(resolve(out))));
  const started = performance.now();
  const wasm = await loadWasmModule();
  const quantizer = createQuantizerPool(wasm);
  try {
    const { maxShardBytes } = given;
    const codec = new Codec(wasm);
    const onTensor = tellTensors(onEvent, plan);
    const job = { reader, source, config, settings, plan, maxShardBytes, quantizer, codec, signal, onTensor };
    const written = await writeBeside(out, job);
    return { ...summaryOf({ model, out }, plan, settings, written), seconds: (performance.now() - started) / 1000 };
  } finally {
    await quantizer.close();
  }
}

/** A run that ends early leaves nothing; one that is killed leaves a folder whose name says that it is not complete. */
async function writeBeside(out: string, job: Omit<QuantizeJob, 'writer' | 'spool'>): Promise<QuantizeResult> {
  const partial = `${resolve(out)}.partial-${randomBytes(4).toString('hex')}`;
  await mkdir(partial, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new DataError(out, `cannot be written (${cause.code}). Give a folder that can be written.`, { cause });
  });
  try {
    const spoolFile = `${partial}/spool`;
    const spool = await openFileStore(spoolFile);
    const result = await quantizeCheckpoint({ ...job, writer: nodeWriter(partial), spool }).finally(() =>
      spool.close(),
    );
    await rm(spoolFile);
    await takeName(partial, out);
    return result;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** The two phases, each announced with its first tensor. */
function tellTensors(onEvent: (event: QuantizeEvent) => void, { tensors }: QuantizePlan): QuantizeJob['onTensor'] {
  const totals = { quantize: tensors.filter(({ kind }) => kind === '4bit').length, write: tensors.length };
  const begun = new Set<string>();
  return (phase, label) => {
    if (!begun.has(phase)) onEvent({ type: 'phase', phase, total: totals[phase] });
    begun.add(phase);
    onEvent({ type: 'progress', phase, label });
  };
}

/** An empty folder gives way; one that has been filled meanwhile does not. */
async function takeName(partial: string, out: string): Promise<void> {
  await rmdir(out).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT')
      throw new DataError(out, `is in the way (${cause.code}). Give a new folder.`, { cause });
  });
  await rename(partial, out);
}

async function requireEmpty(name: string, out: string): Promise<void> {
  const entries = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new ConfigError([{ path: name, message: `${out} cannot be used: ${error.code}; give a new folder` }]);
  });
  if (entries.length === 0) return;
  const message = `${out} is not empty (it holds ${entries[0]}); give a new folder, or empty it`;
  throw new ConfigError([{ path: name, message }]);
}

/** Quantized weights lie on the disk twice for a while. */
function requireRoom(out: string, plan: QuantizePlan, free: number): void {
  const needed = plan.bytes + plan.spoolBytes;
  if (needed <= free) return;
  throw new DataError(
    out,
    `needs ${formatBytes(needed)} on the disk while it is written (${formatBytes(plan.bytes)} in the end), ${formatBytes(free)} are free. Make room, or give a folder on another disk.`,
  );
}

/** On the disk where `directory` is, or will be. Infinity where the system does not say. */
async function freeBytesAt(directory: string): Promise<number> {
  const found = await statfs(directory).catch((error: NodeJS.ErrnoException) => error);
  if (!(found instanceof Error)) return found.bavail * found.bsize;
  const parent = dirname(directory);
  return found.code === 'ENOENT' && parent !== directory ? freeBytesAt(parent) : Number.POSITIVE_INFINITY;
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
  plan: QuantizePlan,
  { quantType }: QuantizeSettings,
  { files, copied }: QuantizeResult,
): Omit<QuantizeSummary, 'seconds'> {
  return {
    ...paths,
    quant_type: quantType,
    quantized_tensors: plan.tensors.filter(({ kind }) => kind === '4bit').length,
    quantized_parameters: plan.elements,
    bits_per_parameter: (8 * plan.spoolBytes) / plan.elements,
    kept_modules: plan.keptModules,
    source_bytes: plan.sourceBytes,
    bytes: plan.bytes,
    files,
    copied,
  };
}
