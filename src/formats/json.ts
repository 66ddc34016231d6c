/** JSON text into checked shapes: the one place where `unknown` from a file becomes something typed. */
import { DataError } from '../errors.ts';
import { type FileReader, place } from './reader.ts';

export type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON as it stands in a message: short, so that a lying header cannot flood the screen. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

/** Parses a JSON object. `file` is named in the DataError for text that is not JSON or not an object. */
export function parseObject(text: string, file: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(file, `is not JSON (${reason}). Fetch or write the file again.`, { cause });
  }
  if (!isObject(value)) throw new DataError(file, `holds ${show(value)}, needs a JSON object ({...}).`);
  return value;
}

/** Reads and parses a JSON object below the reader's root. */
export async function readObject(reader: FileReader, path: string): Promise<JsonObject> {
  return parseObject(await reader.readText(path), place(reader, path));
}
