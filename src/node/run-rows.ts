/**
 * Rows that a program hands over: read from memory, and kept in the run's folder so that the run can be repeated from
 * it.
 */
import path from 'node:path';
import type { ResolvedConfig } from '../config/index.ts';
import { layeredReader } from '../formats/memory.ts';
import type { FileReader, FileWriter } from '../formats/reader.ts';
import type { RowsInMemory } from './run-types.ts';

type Rows = ReadonlyMap<string, RowsInMemory>;

/** Adds rows in memory to the files below '.', where datasets are read: they are found there by their names. */
export function readerWithRows(
  readerOf: (directory: string) => FileReader,
  rows: Rows,
): (directory: string) => FileReader {
  const files = new Map([...rows].map(([name, { bytes }]) => [name, bytes]));
  return (directory) => (directory === '.' ? layeredReader(files, readerOf('.')) : readerOf(directory));
}

/** Writes rows from memory into the run's folder. @throws DataError */
export async function writeRows(writer: FileWriter, rows: Rows = new Map()): Promise<void> {
  for (const { file, bytes } of rows.values()) await writer.write(file, [bytes]);
}

/** Replaces rows in memory by the files of the run's folder that keep them. */
export function pathsInFolder(config: ResolvedConfig, rows: Rows = new Map()): ResolvedConfig {
  const { output_dir, datasets, eval_datasets } = config.values;
  const kept = (sets: typeof datasets): typeof datasets =>
    sets.map((set) => {
      const inMemory = rows.get(set.path);
      return inMemory === undefined ? set : { ...set, path: path.join(output_dir, inMemory.file) };
    });
  return { ...config, values: { ...config.values, datasets: kept(datasets), eval_datasets: kept(eval_datasets) } };
}
