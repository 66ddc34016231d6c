/** Records of a file, whatever its format. */
import type { FileReader } from '../formats/reader.ts';
import { requireText } from './file-kind.ts';
import { type DataRecord, readJsonl } from './jsonl.ts';

/** Reads the records of one file, in order. @throws DataError naming file and line */
export async function* readRecords(reader: FileReader, path: string): AsyncGenerator<DataRecord> {
  await requireText(reader, path, 'jsonl');
  yield* readJsonl(reader, path);
}
