/** Datasets of a program: files by path, or rows, which become JSON lines under a name. */
import type { DatasetSource } from '../config/index.ts';
import type { ConfigProblem } from '../errors.ts';
import type { RowsInMemory } from './run-types.ts';

/** A message of a chat; further keys, such as tool_calls, go to the chat template. */
export type ChatMessage = { readonly role: string; readonly content?: unknown; readonly [key: string]: unknown };

type ForTemplate = { readonly tools?: readonly object[] | string; readonly chat_template_kwargs?: object };

/** A row, as in a line of a JSONL file. Labels are Hugging Face's: not shifted, -100 where nothing is learned. */
export type TrainRow =
  | { readonly text: string }
  | ({ readonly messages: readonly ChatMessage[] } & ForTemplate)
  | ({
      readonly conversations: readonly (ChatMessage | { readonly from: string; readonly value: unknown })[];
    } & ForTemplate)
  | ({ readonly prompt: readonly ChatMessage[]; readonly completion: readonly ChatMessage[] } & ForTemplate)
  | { readonly prompt: string; readonly completion: string }
  | { readonly instruction: string; readonly input?: string | null; readonly output: string }
  | { readonly input_ids: ArrayLike<number>; readonly labels?: ArrayLike<number> | null | undefined };

export type DatasetOption = DatasetSource | { readonly rows: readonly TrainRow[] };

/**
 * Gives every dataset a path. Rows move to `memory` under their place in the options, such as "datasets[0].rows", which
 * becomes their path. Faults are added to `problems`; values that are no dataset at all are left to the schema.
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
  // joined as bytes, since all rows together could exceed the longest string
  return Buffer.concat(rows.map((row) => Buffer.from(`${JSON.stringify(row, plainArrays)}\n`)));
}

/** Turns typed arrays, in which ids often come, into arrays: JSON would write them as objects. */
function plainArrays(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? Array.from(value as Int32Array) : value;
}
