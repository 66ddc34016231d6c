/** Records of a Parquet file, a group of rows at a time. */
import { DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';
import type { DataRecord } from './json-record.ts';

/** Rows that are read together within a group. */
const ROWS_AT_ONCE = 1000;

/** Reads records. @throws DataError naming the file, or the row in it */
export async function* readParquet(reader: FileReader, path: string): AsyncGenerator<DataRecord> {
  const [{ parquetMetadataAsync, parquetReadObjects }, { compressors }] = await Promise.all([
    import('hyparquet'),
    import('hyparquet-compressors'),
  ]);
  const byteLength = await reader.size(path);
  const file = {
    byteLength,
    slice: async (start: number, end = byteLength): Promise<ArrayBuffer> => {
      const bytes = new Uint8Array((end < 0 ? byteLength + end : end) - start);
      await reader.read(path, start, bytes);
      return bytes.buffer;
    },
  };
  const where = place(reader, path);
  const metadata = await guarded(where, () => parquetMetadataAsync(file));
  const rows = Number(metadata.num_rows);
  for (let rowStart = 0; rowStart < rows; rowStart += ROWS_AT_ONCE) {
    const rowEnd = Math.min(rowStart + ROWS_AT_ONCE, rows);
    const found = await guarded(where, () => parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd }));
    for (const [i, row] of found.entries())
      yield { json: plain(row) as DataRecord['json'], where: `${where}: row ${rowStart + i + 1}` };
  }
}

async function guarded<T>(where: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(where, `is a Parquet file that cannot be read (${reason}). Fetch it again.`, { cause });
  }
}

/** 64-bit integers as numbers, typed arrays as lists, and no value as null: what JSON would have. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (value === undefined) return null;
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value as Int32Array, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plain(entry)]));
}
