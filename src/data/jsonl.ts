/** Records of a JSONL file: an object on each line. */
import { type JsonObject, parseObject, parseSpelled } from '../formats/json.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { readLines } from './lines.ts';

/** A row as its file has it, with file:line. */
export type DataRecord = { readonly json: JsonObject; readonly where: string };

/** Reads the records of one file, passing over blank lines. DataError for a line that is none. */
export async function* readJsonl(reader: FileReader, path: string): AsyncGenerator<DataRecord> {
  for await (const { text, number } of readLines(reader, path)) {
    if (text.trim() === '') continue;
    const where = `${place(reader, path)}:${number}`;
    yield { json: withSpellings(parseObject(text, where), text), where };
  }
}

/** Keys below which a chat template may print numbers, and numbers that JavaScript would print otherwise than Python. */
const TOOLS = /"(tools|tool_calls|chat_template_kwargs)"\s*:/;
const SPELLED_NUMBER = /[:[,]\s*-?\d+(\.\d*[eE.]|\.\d*0\b|[eE]|\d{15})/;

/** The record with numbers as they are written, where a template may print them. */
export function withSpellings(record: JsonObject, text: string): JsonObject {
  return TOOLS.test(text) && SPELLED_NUMBER.test(text) ? (parseSpelled(text) as JsonObject) : record;
}
