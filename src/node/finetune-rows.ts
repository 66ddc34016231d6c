/** Datasets as a program hands them over: files by path, or rows, which become JSON lines under a name. */
import type { DatasetSource } from '../config/index.ts';
import type { ConfigProblem } from '../errors.ts';
import type { RowsInMemory } from './run-types.ts';

/** A row as a line of a JSONL file has it. Labels are those of Hugging Face: not shifted, -100 where nothing is learned. */
export type TrainRow =
  | { readonly text: string }
  | { readonly input_ids: ArrayLike<number>; readonly labels?: ArrayLike<number> | null | undefined };

export type DatasetOption = DatasetSource | { readonly rows: readonly TrainRow[] };

/**
 * The datasets with a path each; those with rows get their place in the options as path, "datasets[0].rows", under which
 * `memory` then has them. What is wrong goes to `problems`; what is no dataset at all is left to the schema.
 */
export function datasetsInMemory(
  key: 'datasets' | 'eval_datasets',
  datasets: readonly DatasetOption[] | undefined,
  memory: Map<string, RowsInMemory>,
  problems: ConfigProblem[],
): unknown {
  if (!Array.isArray(datasets)) return datasets;
  return datasets.map((dataset: DatasetOption, i) => {
    if (typeof dataset !== 'object' || dataset === null || !('rows' in dataset)) return dataset;
    const { rows, ...others } = dataset;
    const path = `${key}[${i}].rows`;
    if (!Array.isArray(rows))
      problems.push({
        path,
        message: `got ${typeof rows}, wanted a list of rows, such as [{ text: '...' }] (options)`,
      });
    else if ('path' in others) problems.push({ path, message: 'says the same as path; keep one of the two (options)' });
    else memory.set(path, { bytes: jsonLines(rows), file: `rows/${key}-${i}.jsonl` });
    return { ...others, path };
  });
}

function jsonLines(rows: readonly TrainRow[]): Uint8Array {
  // joined as bytes: a text of all rows could be longer than a string may be
  return Buffer.concat(rows.map((row) => Buffer.from(`${JSON.stringify(row, plainArrays)}\n`)));
}

/** Ids often come as typed arrays, which JSON takes for objects. */
function plainArrays(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? Array.from(value as Int32Array) : value;
}
