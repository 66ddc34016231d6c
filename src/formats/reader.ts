/** How files are read and written, wherever they are: node/files.ts and formats/memory.ts implement these interfaces. */
import { DataError } from '../errors.ts';
import { ADVICE, kindOf } from './file-kind.ts';

/** Reads files below one root. Paths are relative to it, with forward slashes. */
export interface FileReader {
  /** The place, as messages name it: a directory, a URL. */
  readonly root: string;
  exists(path: string): Promise<boolean>;
  /** Size in bytes. DataError when the file is absent. */
  size(path: string): Promise<number>;
  /** Fills `into` from the byte `offset`. DataError when the file is absent or ends before `into` is full. */
  read(path: string, offset: number, into: Uint8Array): Promise<void>;
  /** The whole file as UTF-8. DataError when it is absent or not UTF-8. */
  readText(path: string): Promise<string>;
  /** Names of the files directly below the root, or a folder in it, sorted; empty where there is none or it cannot be listed. */
  list(folder?: string): Promise<readonly string[]>;
  /** Where a link leads that leaves the root, and is of no cache that belongs to it; null for every other file. */
  straysTo(path: string): Promise<string | null>;
}

export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Writes files below one root. */
export interface FileWriter {
  readonly root: string;
  /** Replaces `path` by the concatenated chunks, or leaves it as it was: a failure writes nothing. */
  write(path: string, chunks: Chunks): Promise<void>;
}

/** Writes text as UTF-8. */
export function writeText(writer: FileWriter, path: string, text: string): Promise<void> {
  return writer.write(path, [new TextEncoder().encode(text)]);
}

/** Names a file for messages: the root and the path below it, or an absolute path alone. */
export function place(files: { readonly root: string }, path: string): string {
  const isAbsolute = /^(\/|[A-Za-z]:[/\\])/.test(path);
  return files.root === '' || isAbsolute ? path : `${files.root}/${path}`;
}

/** UTF-16 units of the longest string that V8 makes, on 64 bits; a unit takes one to three bytes of UTF-8. */
const MOST_UNITS = 2 ** 29 - 24;
const MOST_BYTES = 3 * MOST_UNITS;

/** @throws DataError for a file of which no text can be made, before it is read */
export function requireTextSize(file: string, size: number): void {
  if (size > MOST_BYTES) throw tooLong(file, size);
}

function tooLong(file: string, size: number, cause?: unknown): DataError {
  return new DataError(
    file,
    `is too long for one text: it has ${size} bytes, and JavaScript's longest text ${MOST_UNITS} characters. Split it.`,
    { cause },
  );
}

/** Decodes UTF-8 without its byte order mark. DataError when the bytes are not UTF-8, or too many for one text. */
export function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const kind = kindOf(bytes);
    if (kind !== null) throw new DataError(file, `is ${kind.name}, needs UTF-8 text. ${ADVICE[kind.holds]}`, { cause });
    if (bytes.byteLength > MOST_UNITS && isUtf8(bytes)) throw tooLong(file, bytes.byteLength, cause);
    throw new DataError(file, 'is not UTF-8 text. Save it as UTF-8.', { cause });
  }
}

/** Looks piece by piece, where the whole is too long to be decoded at once. */
function isUtf8(bytes: Uint8Array): boolean {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES)
      decoder.decode(bytes.subarray(at, at + PIECE_BYTES), { stream: true });
    decoder.decode();
    return true;
  } catch {
    return false;
  }
}
const PIECE_BYTES = 2 ** 20;

/** Makes the error for a file that ends before a read does. */
export function shortRead(file: string, offset: number, got: number, want: number): DataError {
  return new DataError(
    file,
    `ends early: ${Math.max(0, got)} bytes at offset ${offset}, needs ${want}. The file is truncated; fetch it again.`,
  );
}
