/** Files held in memory, for browsers, edge handlers and tests. */
import { DataError } from '../errors.ts';
import { type Chunks, decodeUtf8, type FileReader, type FileWriter, place, shortRead } from './reader.ts';

/** Reads from a map of path to content; text is taken as UTF-8. Later changes of the map show: it is read at each call. */
export function memoryReader(files: ReadonlyMap<string, Uint8Array | string>, root = 'memory'): FileReader {
  const bytesOf = (path: string): Uint8Array => {
    const content = files.get(path);
    if (content === undefined) throw new DataError(place({ root }, path), 'no such file.');
    return typeof content === 'string' ? new TextEncoder().encode(content) : content;
  };
  return {
    root,
    exists: async (path) => files.has(path),
    size: async (path) => bytesOf(path).byteLength,
    read: async (path, offset, into) => {
      const bytes = bytesOf(path);
      if (offset + into.byteLength > bytes.byteLength) {
        throw shortRead(place({ root }, path), offset, bytes.byteLength - offset, into.byteLength);
      }
      into.set(bytes.subarray(offset, offset + into.byteLength));
    },
    readText: async (path) => decodeUtf8(bytesOf(path), place({ root }, path)),
    list: async (folder) => {
      const start = folder === undefined ? '' : `${folder}/`;
      const below = [...files.keys()].filter((path) => path.startsWith(start)).map((path) => path.slice(start.length));
      return below.filter((name) => !name.includes('/')).sort();
    },
    straysTo: async () => null,
  };
}

/** Reads from a map, and from `reader` what the map lacks; messages name a file by its path alone. */
export function layeredReader(files: ReadonlyMap<string, Uint8Array | string>, reader: FileReader): FileReader {
  const memory = memoryReader(files, '');
  const of = (path: string): FileReader => (files.has(path) ? memory : reader);
  return {
    root: '',
    exists: (path) => of(path).exists(path),
    size: (path) => of(path).size(path),
    read: (path, offset, into) => of(path).read(path, offset, into),
    readText: (path) => of(path).readText(path),
    list: (folder) => reader.list(folder),
    straysTo: (path) => of(path).straysTo(path),
  };
}

/** Writes into a map; an entry is replaced only after its last chunk. */
export function memoryWriter(files: Map<string, Uint8Array | string>, root = 'memory'): FileWriter {
  return {
    root,
    write: async (path, chunks) => {
      files.set(path, await concatenate(chunks));
    },
  };
}

async function concatenate(chunks: Chunks): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  // copied, because a streaming producer may fill the same buffer again
  for await (const chunk of chunks) parts.push(chunk.slice());
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
