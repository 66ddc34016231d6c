/** A record of a JSON file, from its text: where it is none, the message has line and column. */
import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { isObject, type JsonObject, parseSpelled, requireShallow } from '../formats/json.ts';
import { jsonFault } from '../formats/json-fault.ts';

/** A row as its file has it, and where: file:line, or what else finds it. */
export type DataRecord = { readonly json: JsonObject; readonly where: string };

/** Where a text begins in its file, both from 1. */
export type Place = { readonly file: string; readonly line: number; readonly column: number };

/** Keys below which a chat template may print numbers, and numbers that JavaScript would print otherwise than Python. */
const TOOLS = /"(tools|tool_calls|chat_template_kwargs)"\s*:/;
const SPELLED_NUMBER = /[:[,]\s*-?\d+(\.\d*[eE.]|\.\d*0\b|[eE]|\d{15})/;

/**
 * Parses a record. Numbers that a chat template may print keep their spelling (parseSpelled).
 * @throws DataError at file:line, or file:line:column where the text is no JSON
 */
export function parseRecord(text: string, place: Place): DataRecord {
  const where = `${place.file}:${place.line}`;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw notJson(text, place, cause);
  }
  requireShallow(json, where);
  if (!isObject(json)) throw new DataError(where, `holds ${show(json)}, needs a JSON object ({...}).`);
  if (TOOLS.test(text) && SPELLED_NUMBER.test(text)) json = parseSpelled(text);
  return { json: json as JsonObject, where };
}

function notJson(text: string, { file, line, column }: Place, cause: unknown): DataError {
  const fault = jsonFault(text) ?? text.length;
  const before = text.slice(0, fault).split('\n');
  const last = before.at(-1)!;
  const at = `${file}:${line + before.length - 1}:${last.length + (before.length === 1 ? column : 1)}`;
  const what =
    fault >= text.length
      ? 'it ends too early'
      : `${show(String.fromCodePoint(text.codePointAt(fault)!))} cannot stand here`;
  return new DataError(at, `is not JSON: ${what}. Fetch or write the file again.`, { cause });
}
