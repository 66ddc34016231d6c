/** exportAdapter(): writes an adapter as a GGUF file for llama.cpp and, where one is wanted, a Modelfile for Ollama. */
import { rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { ADAPTER_CONFIG_FILE } from '../adapters/config.ts';
import { ggufAdapter, requireExportable } from '../adapters/export.ts';
import { type Adapter, checkOwnEmbeddings, openAdapter } from '../adapters/files.ts';
import { formatModelfile } from '../adapters/modelfile.ts';
import { storedValues } from '../adapters/start-values.ts';
import { checkExportSettings, type ExportConfig, type ExportInput } from '../config/export.ts';
import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem, DataError } from '../errors.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { ggufBytes, ggufChunks } from '../formats/gguf-write.ts';
import { readModelConfig } from '../formats/hf-config.ts';
import { place, writeText } from '../formats/reader.ts';
import { adapterBase } from '../model/adapter-base.ts';
import { withPrefix } from '../model/base-prefix.ts';
import { withTiedHead } from '../model/tied-head.ts';
import { narrow } from '../wasm/buffers.ts';
import { Codec } from '../wasm/codec.ts';
import { modelOfAdapter } from './adapter-model.ts';
import { type CallOptions, callProblems, requireOptions, type WorkEvent } from './call.ts';
import { loadWasmModule } from './codec.ts';
import { type FreeBytes, freeBytesAt, requireRoom, requireWritable } from './disk.ts';
import { nodeReader, nodeWriter } from './files.ts';
import { adapterFolder } from './hub-folders.ts';

export type ExportEvent = WorkEvent<'download'>;

export type ExportOptions = ExportInput &
  CallOptions<ExportEvent> & {
    /** Directory of a PEFT adapter, or its name on the hub. */
    readonly adapter_name_or_path: string;
    /** Directory of its base, or its name on the hub; config.json is read. The adapter's own base_model_name_or_path where it is left out. */
    readonly model_name_or_path?: string | undefined;
    /** New file to write. */
    readonly gguf: string;
    /** New file to write: a Modelfile of Ollama. */
    readonly modelfile?: string | undefined;
    /** What the Modelfile builds on: a model that Ollama has, or a GGUF file; the base's folder where it is left out. */
    readonly from?: string | undefined;
  };

/** Summary of what was written, as `nibble export --json` prints it. */
export type ExportSummary = {
  readonly adapter: string;
  readonly model: string;
  readonly gguf: string;
  /** general.architecture of llama.cpp. */
  readonly architecture: string;
  /** adapter.lora.alpha: scalings that differ from it are in lora_b. */
  readonly alpha: number;
  readonly outtype: 'f32' | 'f16';
  /** Pairs of lora_a and lora_b. */
  readonly pairs: number;
  readonly bytes: number;
  readonly modelfile: string | null;
};

/**
 * Writes both files, or neither. @throws ConfigError with all that is wrong in the options, for files that are there already and for an
 * adapter that GGUF cannot hold; DataError for files that cannot be read or written
 */
export async function exportAdapter(options: ExportOptions): Promise<ExportSummary> {
  requireOptions('exportAdapter', options, "{ adapter_name_or_path: './out', gguf: './out.gguf' }");
  const { adapter_name_or_path, model_name_or_path, gguf, modelfile, from, onEvent, signal, ...given } = options;
  const required = { adapter_name_or_path, gguf };
  const optional = { model_name_or_path, modelfile, from };
  const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
  const wrong = [
    ...Object.entries(required).filter(([, value]) => !isText(value)),
    ...Object.entries(optional).filter(([, value]) => value !== undefined && !isText(value)),
  ].map(([key, value]): ConfigProblem => {
    const got = value === undefined ? 'is missing;' : `got ${show(value)},`;
    return { path: key, message: `${got} wanted a path (options)` };
  });
  const config = checkExportSettings(given, () => 'options', [...callProblems(options), ...wrong]);
  const names = { adapter: 'adapter_name_or_path', model: 'model_name_or_path' };
  return exportFolder(
    { adapter: adapter_name_or_path, model: model_name_or_path, gguf, modelfile, from, names, config },
    { onEvent, signal },
  );
}

export type ExportJob = {
  readonly adapter: string;
  readonly model?: string | undefined;
  readonly gguf: string;
  readonly modelfile?: string | undefined;
  readonly from?: string | undefined;
  /** What messages call the two folders. */
  readonly names: { readonly adapter: string; readonly model: string };
  readonly config: ExportConfig;
};

/**
 * Does the work of exportAdapter() and `nibble export`.
 * @param freeBytes free bytes of the disk below a directory; injected by tests
 */
export async function exportFolder(
  job: ExportJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<ExportEvent>,
  freeBytes: FreeBytes = freeBytesAt,
): Promise<ExportSummary> {
  signal.throwIfAborted();
  const { names, config: settings } = job;
  const { outtype, offline, model_revision } = settings;
  const hub = { offline, model_revision, signal, onEvent };
  await requireOutputs(job);
  const folder = await adapterFolder(job.adapter, { setting: names.adapter, offline, signal, onEvent });
  const reader = nodeReader(folder);
  const asked = { adapter: folder, model: job.model, modelName: names.model, hub };
  const model = await modelOfAdapter({ ...asked, need: 'config' });
  const notes: string[] = [];
  const config = await readModelConfig(nodeReader(model), notes);
  const adapter = await openAdapter(reader, adapterBase(config));
  requireExportable(adapter, config, place(reader, ADAPTER_CONFIG_FILE));
  if (bringsEmbeddings(adapter)) await requireOwnEmbeddings(adapter, await modelOfAdapter({ ...asked, need: 'model' }));
  for (const text of [...notes, ...adapter.notes]) onEvent({ type: 'note', text });
  const codec = new Codec(await loadWasmModule());
  const values = await storedValues(adapter);
  if (outtype === 'f16') requireF16(values, job.adapter);
  const file = ggufAdapter(adapter, config, values, {
    name: path.basename(path.resolve(job.adapter)),
    type: outtype === 'f16' ? 'F16' : 'F32',
    toF16: (floats) => narrow(codec, floats, 'float16'),
  });
  const bytes = ggufBytes(file.metadata, file.tensors);
  const modelfile = job.modelfile === undefined ? null : modelfileText(job.modelfile, job, model);
  const target = path.dirname(path.resolve(job.gguf));
  await requireRoom(target, { 'the adapter': bytes }, freeBytes);
  signal.throwIfAborted();
  await nodeWriter(target).write(path.basename(job.gguf), ggufChunks(file.metadata, file.tensors));
  if (job.modelfile !== undefined && modelfile !== null)
    await writeNew(job.modelfile, modelfile).catch(async (error: unknown) => {
      // both files or neither
      await rm(job.gguf, { force: true }).catch(() => undefined);
      throw error;
    });
  const { 'general.architecture': architecture, 'adapter.lora.alpha': alpha } = Object.fromEntries(file.metadata);
  return {
    adapter: job.adapter,
    model,
    gguf: job.gguf,
    architecture: String(architecture?.value),
    alpha: Number(alpha?.value),
    outtype,
    pairs: file.tensors.length / 2,
    bytes,
    modelfile: job.modelfile ?? null,
  };
}

/** Requires files that are not there yet, in folders that are. @throws ConfigError */
async function requireOutputs({ gguf, modelfile, from }: ExportJob): Promise<void> {
  const files = [
    ['gguf', gguf],
    ['modelfile', modelfile],
  ] as const;
  const problems: ConfigProblem[] = [];
  if (from !== undefined && modelfile === undefined)
    problems.push({ path: 'from', message: `${from} is for a Modelfile; give --modelfile FILE, or leave it out` });
  if (modelfile !== undefined && path.resolve(modelfile) === path.resolve(gguf))
    problems.push({ path: 'modelfile', message: `${modelfile} is the adapter's own file; give another name` });
  for (const [name, file] of files)
    if (file !== undefined && (await stat(file).catch(() => null)) !== null)
      problems.push({ path: name, message: `${file} is there already; give a new file, or remove it` });
  if (problems.length > 0) throw new ConfigError(problems);
  for (const [name, file] of files) if (file !== undefined) await requireWritable(file, name);
}

const broughtBy = (adapter: Adapter) => adapter.embeddings.find(({ key }) => adapter.source.has(key));
const bringsEmbeddings = (adapter: Adapter): boolean => broughtBy(adapter) !== undefined;

/** Requires that embeddings beside the adapter are the base's own, since the file will not hold them. @throws ConfigError, DataError */
async function requireOwnEmbeddings(adapter: Adapter, model: string): Promise<void> {
  const reader = nodeReader(model);
  const config = await readModelConfig(reader);
  const base = await openCheckpoint(reader).catch((cause: unknown) => {
    if (!(cause instanceof DataError)) throw cause;
    const why = `brings ${broughtBy(adapter)?.key} along, which a GGUF adapter cannot hold`;
    const next = `Whether it is the base's own shows only beside the base's weights, and ${model} has none.`;
    throw new DataError(adapter.source.root, `${why}. ${next}`, { cause });
  });
  await checkOwnEmbeddings(adapter, await withTiedHead(config, withPrefix(base, [])));
}

/** The largest magnitude that rounds to a float16 (65504), and not to infinity. */
const F16_LIMIT = 65_520;

function requireF16(values: ReadonlyMap<string, Float32Array>, folder: string): void {
  for (const [name, floats] of values) {
    const large = floats.find((value) => Math.abs(value) >= F16_LIMIT);
    if (large !== undefined)
      throw new DataError(folder, `${name} holds ${large}, beyond what float16 can. Use --outtype f32.`);
  }
}

/** @throws ConfigError for a name that a Modelfile cannot hold */
function modelfileText(file: string, { gguf, from }: ExportJob, model: string): string {
  const folder = path.dirname(path.resolve(file));
  const relative = path.relative(folder, path.resolve(gguf)).split(path.sep).join('/');
  const adapter = relative.startsWith('.') || path.isAbsolute(relative) ? relative : `./${relative}`;
  return formatModelfile(from ?? path.resolve(model), adapter);
}

const writeNew = (file: string, text: string): Promise<void> =>
  writeText(nodeWriter(path.dirname(path.resolve(file))), path.basename(file), text);
