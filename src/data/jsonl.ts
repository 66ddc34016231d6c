/** Records of a JSONL file: an object on each line. */
import { type DataRecord, parseRecord } from './json-record.ts';
import type { Line } from './lines.ts';

/** Reads the records of the lines of a file, passing over blank ones. DataError for a line that is none. */
export async function* readJsonl(lines: AsyncIterable<Line>, file: string): AsyncGenerator<DataRecord> {
  for await (const { text, number } of lines)
    if (text.trim() !== '') yield parseRecord(text, { file, line: number, column: 1 });
}
