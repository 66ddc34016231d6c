/** A LoRA adapter on disk, as PEFT saves and loads it. */

import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { openSafetensors, renamed, type TensorSource } from '../formats/checkpoint.ts';
import { firstDifference } from '../formats/compare-tensors.ts';
import { isFloatDtype, rawBytes } from '../formats/dtype.ts';

import { isPickle } from '../formats/pickle.ts';
import { type FileReader, type FileWriter, place, writeText } from '../formats/reader.ts';
import { type TensorToWrite, writeSafetensors } from '../formats/safetensors-write.ts';
import { type AdapterBase, lastSegment } from './base.ts';
import { modelCard, type TrainingFacts } from './card.ts';
import { ADAPTER_CONFIG_FILE, formatLoraConfig, type LoraConfig, readLoraConfig } from './config.ts';
import { type AdapterLayout, adapterLayout, adapterTensors, isTransposed, KEY_PREFIX, transposed } from './layout.ts';
import { adaptableModules, explicitTargets, type LoraTarget, type MatchOptions } from './match.ts';

export const ADAPTER_FILE = 'adapter_model.safetensors';
/** Bytes of an embedding that are copied at once. */
const SLAB_BYTES = 4 * 2 ** 20;

export type Adapter = {
  readonly config: LoraConfig;
  readonly layout: AdapterLayout;
  readonly source: TensorSource;
  /** Embeddings of the base that the file may bring along: see `checkOwnEmbeddings`. */
  readonly embeddings: readonly OwnEmbedding[];
  /** What was taken in another way than it is written. */
  readonly notes: readonly string[];
};

/** The base's embedding in an adapter's file, and the names that a checkpoint of the base may have for it. */
type OwnEmbedding = {
  readonly key: string;
  readonly shape: readonly [rows: number, columns: number];
  readonly weights: readonly string[];
};

/**
 * Opens an adapter for a model. Its tensors are read with `readFloats(adapter.source, key)`.
 * DataError listing every missing, foreign and misshapen tensor at once; ConfigError from adapter_config.json.
 */
export async function openAdapter(reader: FileReader, base: AdapterBase): Promise<Adapter> {
  const config = await readLoraConfig(reader);
  if (!(await reader.exists(ADAPTER_FILE))) await refusePickle(reader);
  const options: MatchOptions = {
    keyOf: (setting) => `${place(reader, ADAPTER_CONFIG_FILE)}: ${setting}`,
    strict: false,
  };
  const layout = adapterLayout(config, base, options);
  const notes: string[] = [];
  const source = withoutAdapterName(await openSafetensors(reader, ADAPTER_FILE), notes);
  const embeddings = ownEmbeddings(layout, base);
  const faults = tensorFaults(source, layout, embeddings);
  if (faults.length > 0 || layout.targets.length === 0)
    throw new DataError(
      place(reader, ADAPTER_FILE),
      `${headline(faults.length, config, layout, base)} Was the adapter trained on another base?\n  ${faults.join('\n  ')}`,
    );
  return { config, layout, source, embeddings, notes };
}

/** A key with the name that PEFT has for the adapter in memory, and leaves out of its files. */
const NAMED =
  /^(.*\.)(lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|trainable_tokens_delta|modules_to_save)\.([^.]+)(\.weight|\.bias|)$/;
/** Parts of a pair, which stand where a name would. */
const PARAMETERS: readonly string[] = ['weight', 'bias'];

const isParameter = ({ 3: name = '', 4: ending }: RegExpExecArray): boolean =>
  ending === '' && PARAMETERS.includes(name);

/** Views a file whose keys hold an adapter's name without it; one with several names as it is. @param notes is told of it */
function withoutAdapterName(source: TensorSource, notes: string[]): TensorSource {
  const found = source.names().map((stored) => ({ stored, parts: NAMED.exec(stored) }));
  const names = new Set(found.flatMap(({ parts }) => (parts === null || isParameter(parts) ? [] : [parts[3]])));
  const [name] = names;
  if (name === undefined || names.size > 1) return source;
  notes.push(`${place(source, ADAPTER_FILE)}: its keys hold the adapter's name ${show(name)}, read without`);
  const plain = ({ stored, parts }: (typeof found)[number]): string => {
    if (parts === null || parts[3] !== name) return stored;
    const [, module = '', part = '', , ending = ''] = parts;
    if (part === 'modules_to_save') return `${module.slice(0, -1)}${ending}`;
    const isVector = part === 'lora_magnitude_vector' || part === 'trainable_tokens_delta';
    return isVector ? `${module}${part}` : `${module}${part}${ending}`;
  };
  return renamed(source, new Map(found.map((entry) => [plain(entry), entry.stored])));
}

/** Says why a file of this name is not read; null where it is no pickle of an adapter. */
export function pickleRefusal(file: string): string | null {
  if (!isPickle(file)) return null;
  return (
    `is a pickle, which runs code when it is loaded and is refused. Save the adapter as ${ADAPTER_FILE} (PEFT's default); ` +
    "a file you trust becomes one by safetensors.torch.save_file(torch.load(FILE, weights_only=True, map_location='cpu'), ...)."
  );
}

async function refusePickle(reader: FileReader): Promise<void> {
  const pickle = (await reader.list()).find((name) => pickleRefusal(name) !== null);
  if (pickle !== undefined) throw new DataError(place(reader, pickle), pickleRefusal(pickle) as string);
}

/** Modules that PEFT takes for embeddings, by the ends of their names. */
const EMBEDDING_NAMES: readonly string[] = ['embed_tokens', 'lm_head'];

/**
 * Lists the embeddings that a file may bring along: PEFT saves one with the adapter where it is adapted, was resized, or
 * save_embedding_layers=True asks for it. None is required, since the base has it.
 */
function ownEmbeddings({ targets }: AdapterLayout, base: AdapterBase): OwnEmbedding[] {
  const ends = base.modules.filter(({ name }) => name === base.inputEmbedding || name === base.outputEmbedding);
  return ends.flatMap((module) => {
    if (module.kind === 'norm') return [];
    const { name, out, in: width } = module;
    const isAdapted = targets.some((target) => target.name === name);
    const names = [name, ...ends.map((end) => end.name).filter((end) => base.tied && end !== name)];
    const key = `${KEY_PREFIX}${name}.${isAdapted ? 'base_layer.' : ''}weight`;
    return [{ key, shape: [out, width] as const, weights: names.map((end) => `${end}.weight`) }];
  });
}

function headline(faults: number, config: LoraConfig, { targets }: AdapterLayout, base: AdapterBase): string {
  const misfits = faults === 1 ? '1 tensor does' : `${faults} tensors do`;
  if (targets.length > 0) return `${misfits} not fit the model and ${ADAPTER_CONFIG_FILE}.`;
  return (
    `${misfits} not fit the model: target_modules ${show(config.target_modules ?? base.defaultTargets)} of ` +
    `${ADAPTER_CONFIG_FILE}, after exclude_modules, modules_to_save and layers_to_transform, matches no layer. ` +
    `${adaptableModules(base)}.`
  );
}

function tensorFaults(source: TensorSource, layout: AdapterLayout, embeddings: readonly OwnEmbedding[]): string[] {
  const faults: string[] = [];
  const wanted = new Map(adapterTensors(layout).map(({ key, shape }) => [key, shape]));
  for (const [name, shape] of wanted) {
    if (!source.has(name)) faults.push(`${name} is missing, needs ${show(shape)}`);
  }
  // a trained embedding is listed already, in the same shape
  for (const { key, shape } of embeddings) wanted.set(key, shape);
  for (const [name, shape] of wanted) {
    if (!source.has(name)) continue;
    const got = source.info(name);
    if (show(got.shape) !== show(shape)) faults.push(`${name} is ${show(got.shape)}, needs ${show(shape)}`);
    else if (!isFloatDtype(got.dtype)) faults.push(`${name} is ${got.dtype}, needs F32, F16 or BF16`);
  }
  for (const name of source.names()) {
    if (!wanted.has(name)) faults.push(`${name} belongs to no adapted layer of this model`);
  }
  return faults;
}

/**
 * Requires that an embedding which an adapter's file brings along equals the base's own, over which PEFT would load it.
 * DataError naming the first value that differs.
 */
export async function checkOwnEmbeddings({ layout, source, embeddings }: Adapter, base: TensorSource): Promise<void> {
  const trained = new Set(adapterTensors(layout).map(({ key }) => key));
  for (const { key, weights } of embeddings) {
    const weight = weights.find((name) => base.has(name));
    if (trained.has(key) || !source.has(key) || weight === undefined) continue;
    const file = place(source, ADAPTER_FILE);
    const { dtype } = base.info(weight);
    if (!isFloatDtype(dtype))
      throw new DataError(
        file,
        `${key} cannot be held against ${weight} of the base, which is ${dtype}. Save the adapter with save_embedding_layers=False.`,
      );
    const found = await firstDifference({ source, name: key }, { source: base, name: weight });
    if (found === null) continue;
    throw new DataError(
      file,
      `${key}[${found.index}] is ${found.a}, the base has ${found.b}: the adapter was trained on another embedding. Give the base it was trained on.`,
    );
  }
}

/** A trained tensor's values as adapter files have them, from those it was trained in; `shape` is that of training. */
export function asInFile(name: string, shape: readonly number[], values: Float32Array): Float32Array {
  const [rows = 1, columns = 1] = shape;
  return isTransposed(name) ? transposed(values, rows, columns) : values;
}

export type AdapterToSave = {
  readonly config: LoraConfig;
  readonly layout: AdapterLayout;
  readonly base: AdapterBase;
  /** The checkpoint of the base: an adapted embedding is copied from it, as PEFT does. null leaves it out. */
  readonly source: TensorSource | null;
  /** Gives a tensor's values, f32 row-major, by the names of `adapterTensors`. */
  readonly values: (name: string) => Float32Array | Promise<Float32Array>;
  /** What its card says of the run; left out, no run is known. */
  readonly facts?: TrainingFacts | null;
};

/** Writes adapter_model.safetensors, adapter_config.json and README.md, each atomically and in this order. */
export async function saveAdapter(writer: FileWriter, adapter: AdapterToSave): Promise<void> {
  const { config, layout, base, values } = adapter;
  const isList = typeof config.target_modules === 'object' && config.target_modules !== null;
  const saved = isList ? config : asList(config, layout.targets, base);
  const tensors = adapterTensors(layout).map(({ key, name, shape }) => ({
    name: key,
    dtype: 'F32' as const,
    shape,
    data: async function* () {
      yield rawBytes(await values(name));
    },
  }));
  await writeSafetensors(writer, ADAPTER_FILE, [...tensors, ...embeddingsBeside(adapter, saved)]);
  await writeText(writer, ADAPTER_CONFIG_FILE, `${formatLoraConfig(saved)}\n`);
  await writeText(writer, 'README.md', modelCard(saved, adapter.facts));
}

const isEmbedding = ({ name }: LoraTarget): boolean => EMBEDDING_NAMES.includes(lastSegment(name));

/** Lists the base's embeddings to save: PEFT writes adapted ones where target_modules names one by its last part alone. */
function embeddingsBeside({ layout, source }: AdapterToSave, saved: LoraConfig): TensorToWrite[] {
  const named = (saved.target_modules as readonly string[]).some((entry) => EMBEDDING_NAMES.includes(entry));
  // nor does it beside trained tokens, whose rows are all that changed
  if (source === null || !named || saved.trainable_token_indices !== null) return [];
  return layout.targets.filter(isEmbedding).map(({ name }) => {
    const { dtype, shape, bytes } = source.info(`${name}.weight`);
    const data = async function* () {
      for (let at = 0; at < bytes; at += SLAB_BYTES) {
        const slab = new Uint8Array(Math.min(SLAB_BYTES, bytes - at));
        await source.read(`${name}.weight`, at, slab);
        yield slab;
      }
    };
    return { name: `${KEY_PREFIX}${name}.base_layer.weight`, dtype, shape, data };
  });
}

/** Writes the targets as a list, which every reader of adapters understands; exclusions and layers are then part of it. */
function asList(config: LoraConfig, targets: readonly LoraTarget[], base: AdapterBase): LoraConfig {
  const target_modules = explicitTargets(targets, base);
  return { ...config, target_modules, exclude_modules: null, layers_to_transform: null, layers_pattern: null };
}

/** Formats the line that PEFT's print_trainable_parameters prints, without a line end. */
export function trainableParametersLine(trainable: number, all: number): string {
  const count = (n: number): string => n.toLocaleString('en-US');
  const percent = percent4((100 * trainable) / all);
  return `trainable params: ${count(trainable)} || all params: ${count(all)} || trainable%: ${percent}`;
}

/** Rounds to 4 decimals as Python does, an exact half to the even digit: such halves are odd multiples of 1/32. */
function percent4(value: number): string {
  const truncated = value.toFixed(5).slice(0, -1);
  const isHalf = Math.abs((value * 32) % 2) === 1;
  return isHalf && '02468'.includes(truncated.at(-1)!) ? truncated : value.toFixed(4);
}
