/** A model directory as one set of tensors, whether it holds one safetensors file or many shards. */

import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { isFloatDtype, widenToF32 } from './dtype.ts';
import { duplicateKey, isObject, parseObject } from './json.ts';
import { isPickle, modelPickleRefusal } from './pickle.ts';
import { type FileReader, place } from './reader.ts';
import { readSafetensorsHeader, type TensorInfo } from './safetensors.ts';

export type StoredTensor = TensorInfo & { readonly file: string };

/** Tensors by name, their bytes read on demand. */
export interface TensorSource {
  /** The place, as messages name it. */
  readonly root: string;
  /** Sorted. */
  names(): readonly string[];
  has(name: string): boolean;
  /** DataError when the tensor is absent, naming others that end alike. */
  info(name: string): StoredTensor;
  /** Fills `into` from `byteOffset` inside the tensor. DataError when that goes beyond its end. */
  read(name: string, byteOffset: number, into: Uint8Array): Promise<void>;
}

export const SINGLE_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

/**
 * Opens the checkpoint of a model directory: every header is read and checked, no data.
 * DataError: no safetensors weights, or an index that names an absent shard, a path outside the directory or a tensor
 * its shard does not hold.
 */
export async function openCheckpoint(reader: FileReader): Promise<TensorSource> {
  if (await reader.exists(SINGLE_FILE)) return openSafetensors(reader, SINGLE_FILE);
  if (await reader.exists(INDEX_FILE)) return openSharded(reader);
  const pickle = (await reader.list()).find(isPickle);
  const found = pickle === undefined ? '' : ` ${pickle} ${modelPickleRefusal(pickle)}`;
  throw new DataError(
    reader.root,
    `holds neither ${SINGLE_FILE} nor ${INDEX_FILE}.${found || ' Give the directory of a Hugging Face model.'}`,
  );
}

/** Names of the shards in an index's text, sorted; what is wrong with it is said where the checkpoint is opened. */
export function shardsOf(text: string, file: string): string[] {
  const { weight_map: map } = parseObject(text, file);
  const names = isObject(map) ? Object.values(map) : [];
  return [...new Set(names.filter((name) => typeof name === 'string' && isPlainName(name)) as string[])].sort();
}

/** Opens one safetensors file. DataError as `readSafetensorsHeader`. */
export async function openSafetensors(reader: FileReader, path: string): Promise<TensorSource> {
  const { tensors } = await readSafetensorsHeader(reader, path);
  return sourceOf(reader, new Map([...tensors].map(([name, info]) => [name, { ...info, file: path }])));
}

async function openSharded(reader: FileReader): Promise<TensorSource> {
  const file = place(reader, INDEX_FILE);
  const text = await reader.readText(INDEX_FILE);
  const { weight_map: weightMap } = parseObject(text, file);
  const twice = duplicateKey(text);
  if (twice !== null) throw new DataError(file, `has ${show(twice)} twice. Fetch it again, or save the model anew.`);
  if (!isObject(weightMap)) throw new DataError(file, `weight_map is ${show(weightMap)}, needs {tensor: shard file}.`);
  const shards = new Map<string, string[]>();
  for (const [tensor, shard] of Object.entries(weightMap)) {
    if (typeof shard !== 'string' || !isPlainName(shard)) {
      throw new DataError(
        file,
        `weight_map[${show(tensor)}] is ${show(shard)}, needs the name of a file inside the model directory.`,
      );
    }
    const names = shards.get(shard);
    if (names === undefined) shards.set(shard, [tensor]);
    else names.push(tensor);
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [shard, names] of [...shards].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!(await reader.exists(shard))) {
      throw new DataError(
        file,
        `names the shard ${shard}, which is absent (${names.length} tensors, ${show(names[0])} first). Fetch the missing shard.`,
      );
    }
    const header = await readSafetensorsHeader(reader, shard);
    for (const name of names) {
      const info = header.tensors.get(name);
      if (info === undefined) {
        throw new DataError(
          file,
          `says tensor ${show(name)} is in ${shard}, which does not hold it. Index and shards are of different models; fetch both again.`,
        );
      }
      tensors.set(name, { ...info, file: shard });
    }
    for (const info of header.tensors.values()) {
      const named = weightMap[info.name] ?? shard;
      if (named !== shard || (tensors.get(info.name)?.file ?? shard) !== shard)
        throw new DataError(
          file,
          `tensor ${show(info.name)} is in ${shard} and in ${tensors.get(info.name)?.file ?? named}, and which of the two is meant nobody can tell. Save the model anew.`,
        );
      tensors.set(info.name, { ...info, file: shard });
    }
  }
  return sourceOf(reader, tensors);
}

/** Tells whether a name is a file beside the index: no separators, no drive letters, no way up. */
function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\\:\0]/.test(name);
}

function sourceOf(reader: FileReader, tensors: ReadonlyMap<string, StoredTensor>): TensorSource {
  const names = [...tensors.keys()].sort();
  const info = (name: string): StoredTensor => {
    const tensor = tensors.get(name);
    if (tensor !== undefined) return tensor;
    const last = name.split('.').slice(-2).join('.');
    const alike = names.filter((other) => other.endsWith(last));
    const hint = alike.length > 0 ? `${alike.length} end in ${last}, ${alike[0]} first` : `first is ${names[0]}`;
    throw new DataError(
      reader.root,
      `tensor ${show(name)} is absent from its ${names.length} tensors (${hint}). Was config.json read from another model?`,
    );
  };
  return {
    root: reader.root,
    names: () => names,
    has: (name) => tensors.has(name),
    info,
    read: async (name, byteOffset, into) => {
      const { file, offset, bytes } = info(name);
      if (byteOffset < 0 || byteOffset + into.byteLength > bytes) {
        throw new DataError(
          place(reader, file),
          `tensor ${show(name)}: bytes ${byteOffset} to ${byteOffset + into.byteLength} were asked for, it has ${bytes}.`,
        );
      }
      await reader.read(file, offset + byteOffset, into);
    },
  };
}

/** Reads a whole tensor of F32, F16 or BF16, widened to f32. For small tensors; weights are streamed with `read`. */
export async function readFloats(source: TensorSource, name: string): Promise<Float32Array> {
  return readPart(source, name, 0, source.info(name).bytes);
}

/** Reads one row of a matrix of F32, F16 or BF16, widened to f32. */
export async function readRow(source: TensorSource, name: string, row: number): Promise<Float32Array> {
  const { shape, bytes } = source.info(name);
  const rowBytes = bytes / (shape[0] ?? 1);
  return readPart(source, name, row * rowBytes, rowBytes);
}

async function readPart(source: TensorSource, name: string, byteOffset: number, bytes: number): Promise<Float32Array> {
  const { dtype, file } = source.info(name);
  if (!isFloatDtype(dtype)) {
    throw new DataError(place(source, file), `tensor ${show(name)} is ${dtype}, needs F32, F16 or BF16.`);
  }
  const raw = new Uint8Array(bytes);
  await source.read(name, byteOffset, raw);
  return widenToF32(raw, dtype);
}

/** Views a checkpoint under other names. @param stored for each tensor of the view, its name in the checkpoint */
export function renamed(source: TensorSource, stored: ReadonlyMap<string, string>): TensorSource {
  const names = [...stored.keys()].sort();
  const inFile = (name: string): string => stored.get(name) ?? name;
  return {
    root: source.root,
    names: () => names,
    has: (name) => stored.has(name),
    info: (name) => ({ ...source.info(inFile(name)), name }),
    read: (name, byteOffset, into) => source.read(inFile(name), byteOffset, into),
  };
}
