/** Records of a file, whatever its format: JSONL, a JSON array, CSV or TSV, each of them gzipped or not, or Parquet. */
import { DataError } from '../errors.ts';
import { ADVICE, kindOf } from '../formats/file-kind.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { contentOf, headOf, isGzip } from './bytes.ts';
import { readCsv } from './csv.ts';
import { readJsonArray } from './json-array.ts';
import type { DataRecord } from './json-record.ts';
import { readJsonl } from './jsonl.ts';
import { readLines } from './lines.ts';
import { readParquet } from './parquet.ts';

/** Bytes that are looked at: white space may stand in front of what an array begins with. */
const HEAD_BYTES = 4096;

const DELIMITERS: Readonly<Record<string, string>> = { csv: ',', tsv: '\t' };

/** Reads the records of one file, in order. What a file holds decides, and its name where the content says nothing. @throws DataError */
export async function* readRecords(reader: FileReader, path: string): AsyncGenerator<DataRecord> {
  const file = place(reader, path);
  const head = await contentHead(reader, path);
  if (holdsParquet(head)) return yield* readParquet(reader, path);
  requireText(head, file, 'JSONL, a JSON array, CSV or Parquet');
  const lines = readLines(reader, path);
  const [first] = new TextDecoder().decode(head).trimStart();
  if (first === '[') return yield* readJsonArray(lines, file);
  const [, ending = ''] = /\.(csv|tsv)(?:\.gz)?$/i.exec(path) ?? [];
  const delimiter = DELIMITERS[ending.toLowerCase()];
  if (delimiter !== undefined && first !== '{') return yield* readCsv(lines, file, delimiter);
  yield* readJsonl(lines, file);
}

/** @throws DataError naming the format of a file that is no text */
export async function requireTextFile(reader: FileReader, path: string): Promise<void> {
  requireText(await headOf(reader, path, HEAD_BYTES), place(reader, path), 'UTF-8 text');
}

async function contentHead(reader: FileReader, path: string): Promise<Uint8Array> {
  const head = await headOf(reader, path, HEAD_BYTES);
  if (!isGzip(head)) return head;
  for await (const piece of contentOf(reader, path, HEAD_BYTES)) return piece.subarray(0, HEAD_BYTES);
  return new Uint8Array();
}

function holdsParquet(head: Uint8Array): boolean {
  return kindOf(head)?.name === 'a Parquet file';
}

function requireText(head: Uint8Array, file: string, wanted: string): void {
  const found = kindOf(head);
  if (found !== null) throw new DataError(file, `is ${found.name}, needs ${wanted}. ${ADVICE[found.holds]}`);
}
