/** The work of `nibble quantize`: all is written beside the target and takes its name when it is complete. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, rmdir, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError, DataError } from '../../errors.ts';
import { openCheckpoint } from '../../formats/checkpoint.ts';
import { readModelConfig } from '../../formats/hf-config.ts';
import { type QuantizeJob, type QuantizeResult, quantizeCheckpoint } from '../../model/quantize/checkpoint.ts';
import { planQuantization, type QuantizePlan, type QuantizeSettings } from '../../model/quantize/plan.ts';
import { withTiedHead } from '../../model/tied-head.ts';
import { createQuantizerPool, loadWasmModule } from '../../node/codec.ts';
import { nodeReader, nodeWriter } from '../../node/files.ts';
import { requireModelFolder } from '../../node/inputs.ts';
import { openFileStore } from '../../node/spool.ts';
import { formatBytes } from '../../report/format.ts';
import { Codec } from '../../wasm/codec.ts';
import type { CliContext } from '../shared/context.ts';
import { createProgress, type Progress, type ProgressTask } from '../shared/progress.ts';
import type { QuantizeArgs } from './command.ts';
import type { QuantizeConfig } from './settings.ts';

/** `freeBytes` of the disk below a directory is injected by tests. */
export async function runQuantize(
  { model, out, config: given, json }: QuantizeArgs,
  context: CliContext,
  freeBytes: (directory: string) => Promise<number> = freeBytesAt,
): Promise<void> {
  await requireModelFolder('model', model);
  await requireEmpty(out);
  const reader = nodeReader(model);
  const config = await readModelConfig(reader);
  const source = await withTiedHead(config, await openCheckpoint(reader));
  const settings = settingsOf(given);
  const plan = await planQuantization(config, source, settings);
  requireRoom(out, plan, await freeBytes(dirname(resolve(out))));
  const progress = createProgress(context.stderr, context.env);
  const quantizer = createQuantizerPool(await loadWasmModule());
  const { maxShardBytes } = given;
  const { signal } = context;
  try {
    const codec = new Codec(await loadWasmModule());
    const onTensor = quantizeProgress(progress, plan);
    const job = { reader, source, config, settings, plan, maxShardBytes, quantizer, codec, signal, onTensor };
    const started = performance.now();
    const result = await writeBeside(out, job);
    const summary = { ...summaryOf({ model, out }, plan, result), seconds: (performance.now() - started) / 1000 };
    progress.stop();
    context.stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : inWords(out, plan, settings));
  } finally {
    progress.stop();
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

/** Draws the two phases: every weight is quantized before the first file is written. */
function quantizeProgress(progress: Progress, { tensors }: QuantizePlan): QuantizeJob['onTensor'] {
  const totals = { quantize: tensors.filter(({ kind }) => kind === '4bit').length, write: tensors.length };
  const done = { quantize: 0, write: 0 };
  const tasks: { quantize?: ProgressTask; write?: ProgressTask } = {};
  return (phase) => {
    tasks[phase] ??= progress.start(phase, totals[phase]);
    tasks[phase].advance();
    if (++done[phase] === totals[phase]) tasks[phase].finish();
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

async function requireEmpty(out: string): Promise<void> {
  const entries = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new ConfigError([{ path: 'out', message: `${out} cannot be used: ${error.code}; give a new folder` }]);
  });
  if (entries.length === 0) return;
  const message = `${out} is not empty (it holds ${entries[0]}); give a new folder, or empty it`;
  throw new ConfigError([{ path: 'out', message }]);
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

function summaryOf(paths: { model: string; out: string }, plan: QuantizePlan, { files, copied }: QuantizeResult) {
  return {
    ...paths,
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

function inWords(out: string, plan: QuantizePlan, { quantType }: QuantizeSettings): string {
  const count = plan.tensors.filter(({ kind }) => kind === '4bit').length;
  const bits = ((8 * plan.spoolBytes) / plan.elements).toFixed(3);
  const kept = plan.keptModules.length > 3 ? `${plan.keptModules.length} modules` : plan.keptModules.join(', ');
  const sizes = `${formatBytes(plan.bytes)}, from ${formatBytes(plan.sourceBytes)}`;
  return `${out}: ${count} weights in ${quantType} (${bits} bits a parameter), ${sizes}${kept === '' ? '' : `; ${kept} kept`}\n`;
}
