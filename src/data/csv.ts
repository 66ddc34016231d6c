/** Records of a table of comma- or tab-separated values, whose first line names the columns. */
import { DataError } from '../errors.ts';
import type { JsonObject } from '../formats/json.ts';
import type { DataRecord } from './json-record.ts';
import type { Line } from './lines.ts';

/** Characters that are parsed together: a record is never cut. */
const BLOCK_CHARACTERS = 1 << 20;
/** Columns that hold no text of their own: a list in them is JSON. */
const LISTS = ['messages', 'conversations', 'input_ids', 'labels', 'attention_mask', 'tools'];

type Block = { readonly text: string; readonly line: number };
type Parsed = { readonly record: string[]; readonly info: { readonly lines: number } };

/** Reads records; an empty field counts as absent, as for pandas. @throws DataError with file and line */
export async function* readCsv(
  lines: AsyncIterable<Line>,
  file: string,
  delimiter: string,
): AsyncGenerator<DataRecord> {
  const { parse } = await import('csv-parse/browser/esm/sync');
  let columns: readonly string[] | null = null;
  for await (const { text, line } of blocksOf(lines)) {
    const rows = parsed(
      () => parse(text, { delimiter, info: true, relax_column_count: true, skip_empty_lines: true }),
      file,
      line,
    );
    for (const { record, info } of rows as unknown as Parsed[]) {
      if (columns === null) {
        columns = namesOf(record, file);
        continue;
      }
      const where = `${file}:${line + info.lines - 1}`;
      if (record.length !== columns.length)
        throw new DataError(
          where,
          `has ${record.length} fields, needs ${columns.length} as its first line (${columns.join(', ')}). Is a quote or a delimiter missing?`,
        );
      yield { json: recordOf(columns, record, where), where };
    }
  }
}

/** Whole records together: a line belongs to the one before while a quote is open. */
async function* blocksOf(lines: AsyncIterable<Line>): AsyncGenerator<Block> {
  let waiting: string[] = [];
  let [first, size, open] = [1, 0, false];
  for await (const { text, number } of lines) {
    if (waiting.length === 0) first = number;
    waiting.push(text);
    size += text.length;
    for (const char of text) if (char === '"') open = !open;
    if (open || size < BLOCK_CHARACTERS) continue;
    yield { text: waiting.join('\n'), line: first };
    [waiting, size] = [[], 0];
  }
  if (waiting.length > 0) yield { text: waiting.join('\n'), line: first };
}

function parsed<T>(parse: () => T, file: string, line: number): T {
  try {
    return parse();
  } catch (cause) {
    const { message, lines } = cause as Error & { lines?: number };
    throw new DataError(
      `${file}:${line + (lines ?? 1) - 1}`,
      `is no row of comma-separated values (${message}). Mend it, or write the file again.`,
      { cause },
    );
  }
}

function namesOf(record: readonly string[], file: string): readonly string[] {
  const names = record.map((name) => name.trim());
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new DataError(`${file}:1`, `names the column ${JSON.stringify(twice)} twice. Give each a name of its own.`);
  return names;
}

function recordOf(columns: readonly string[], record: readonly string[], where: string): JsonObject {
  return Object.fromEntries(
    columns.map((name, i) => {
      const field = record[i]!;
      if (field === '') return [name, null];
      return [name, LISTS.includes(name) && field.trimStart().startsWith('[') ? listOf(field, name, where) : field];
    }),
  );
}

function listOf(field: string, name: string, where: string): unknown {
  try {
    return JSON.parse(field);
  } catch (cause) {
    throw new DataError(where, `${name} is no JSON list (${(cause as Error).message}).`, { cause });
  }
}
