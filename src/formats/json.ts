/** Parses and formats JSON: the one place where `unknown` from a file becomes something typed. */
import { isTooDeep, MOST_LEVELS } from '../config/depth.ts';
import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { foreignText } from './file-kind.ts';
import { type FileReader, place } from './reader.ts';

export type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses JSON. `file` is named in the DataError for text that is not JSON, or nests deeper than any format does. */
export function parseJson(text: string, file: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    // the reason quotes the text, whose control characters a terminal would follow
    const reason = (cause as Error).message.replaceAll(/\p{Cc}/gu, '\ufffd');
    throw new DataError(file, foreignText(text) ?? `is not JSON (${reason}). Fetch or write the file again.`, {
      cause,
    });
  }
  requireShallow(value, file);
  return value;
}

/** @throws DataError naming `file` where lists and mappings nest too deep */
export function requireShallow(value: unknown, file: string): void {
  if (isTooDeep(value))
    throw new DataError(file, `nests lists and objects more than ${MOST_LEVELS} deep. Is it the right file?`);
}

/** Parses a JSON object. `file` is named in the DataError for text that is not JSON or not an object. */
export function parseObject(text: string, file: string): JsonObject {
  const value = parseJson(text, file);
  if (!isObject(value)) throw new DataError(file, `holds ${show(value)}, needs a JSON object ({...}).`);
  return value;
}

/** Finds a key that an object in `text` (JSON that parses) has twice, where JSON.parse keeps the later one; null where none is. */
export function duplicateKey(text: string): string | null {
  const open: Set<string>[] = [];
  let last = '';
  for (const { token } of stringsAnd(SIGN, text)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token !== ':') last = token;
    else {
      const key = JSON.parse(last) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return null;
}

const SIGN = /[{}:]/;

/** Lists the strings of a JSON text and what `other` matches between them. A long string is passed over, not matched: an expression would run out of stack. */
function* stringsAnd(other: RegExp, text: string): Generator<{ readonly token: string; readonly at: number }> {
  const next = new RegExp(`"|${other.source}`, 'g');
  for (let found = next.exec(text); found !== null; found = next.exec(text)) {
    const { 0: sign, index: at } = found;
    if (sign === '"') next.lastIndex = stringEnd(text, at);
    yield { token: sign === '"' ? text.slice(at, next.lastIndex) : sign, at };
  }
}

/** Finds the end (exclusive) of the JSON string that is opened at `from`. */
export function stringEnd(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text[at - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
  return text.length;
}

/** Reads and parses a JSON object below the reader's root. */
export async function readObject(reader: FileReader, path: string): Promise<JsonObject> {
  return parseObject(await reader.readText(path), place(reader, path));
}

/**
 * Parses JSON and keeps the spelling of numbers: `1.0`, `1e-05`, `12345678901234567890`. A number that JavaScript would
 * print differently becomes a marked text, which `formatSpelled` turns back. (JSON.rawJSON does this too, from Node 21 on.)
 */
export function parseSpelled(text: string): unknown {
  const marked = (token: string): string => JSON.stringify(SPELLED + token);
  const parts: string[] = [];
  let done = 0;
  for (const { token, at } of stringsAnd(NUMBER, text)) {
    if (token.startsWith('"') || String(Number(token)) === token) continue;
    parts.push(text.slice(done, at), marked(token));
    done = at + token.length;
  }
  return JSON.parse([...parts, text.slice(done)].join(''));
}

/** Reads the spelling of a number that `parseSpelled` marked; null for every other text. */
export function spelledNumber(text: string): string | null {
  return text.startsWith(SPELLED) ? text.slice(SPELLED.length) : null;
}

/** Formats JSON indented by 2, numbers as `parseSpelled` found them. */
export function formatSpelled(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(MARKED, '$1');
}

const NUMBER = /-?\d[\d.eE+-]*/;
const SPELLED = '\u0000number ';
const MARKED = /"\\u0000number (-?\d[\d.eE+-]*)"/g;
