/** The rows of a task: its data files, split by split, with the columns that any of their rows has. */
import { readRecords } from '../data/records.ts';
import { DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';
import type { TaskFields } from './task-shape.ts';
import type { Doc } from './template.ts';

/** Rows of a split. Those without a column have null there, as the `datasets` library reads them. */
export type Split = {
  readonly docs: readonly Doc[];
  /** Where each row stands, for messages. */
  readonly places: readonly string[];
  readonly columns: ReadonlySet<string>;
};

/** Finds a data file that a task names: its path below the reader; null where there is none. */
export type FindFile = (named: string) => Promise<string | null>;

/** Reads the splits that a task uses, each once. @throws DataError for a file that is not there, no JSON, or empty */
export async function readSplits(
  task: TaskFields,
  reader: FileReader,
  find: FindFile,
): Promise<ReadonlyMap<string, Split>> {
  const { data_files } = task.dataset_kwargs;
  const named = typeof data_files === 'string' || Array.isArray(data_files) ? { train: data_files } : data_files;
  const used = [task.training_split, task.validation_split, task.test_split, task.fewshot_split];
  const wanted = new Set([...used, task.fewshot_config?.split ?? null].filter((split) => split !== null));
  const found = new Map<string, Split>();
  for (const [split, files] of Object.entries(named))
    if (wanted.has(split)) found.set(split, await readSplit([files].flat(), reader, find));
  return found;
}

async function readSplit(files: readonly string[], reader: FileReader, find: FindFile): Promise<Split> {
  const docs: Doc[] = [];
  const places: string[] = [];
  for (const file of files) {
    const path = await find(file);
    if (path === null)
      throw new DataError(
        file,
        'is not there. data_files is meant from the working directory, the folder of the task, or the one above.',
      );
    for await (const { json, where } of readRecords(reader, path)) {
      docs.push(json);
      places.push(where);
    }
    if (docs.length === 0) throw new DataError(place(reader, path), 'holds no row. Give one on each line.');
  }
  const columns = new Set(docs.flatMap((doc) => Object.keys(doc)));
  const whole = docs.map((doc) =>
    Object.fromEntries(Array.from(columns, (column) => [column, Object.hasOwn(doc, column) ? doc[column] : null])),
  );
  return { docs: whole, places, columns };
}
