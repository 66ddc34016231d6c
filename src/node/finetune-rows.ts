/** Datasets of a program: files by path, or rows, which become JSON lines under a name. */

import { isTooDeep, MOST_LEVELS } from '../config/depth.ts';
import type { DatasetSource } from '../config/index.ts';
import { show } from '../config/show.ts';
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
        message: `got ${show(rows)}, wanted a list of rows, such as [{ text: '...' }] (options)`,
      });
    else if ('path' in others) problems.push({ path, message: 'says the same as path; keep one of the two (options)' });
    else if (rows.length === 0) problems.push({ path, message: 'is empty; give at least one row (options)' });
    else memory.set(path, { bytes: jsonLines(rows, path, problems), file: `rows/${key}-${i}.jsonl` });
    return { ...others, path };
  });
}

function jsonLines(rows: readonly unknown[], path: string, problems: ConfigProblem[]): Uint8Array {
  // joined as bytes, since all rows together could exceed the longest string; by index, since rows may have holes
  const lines = Array.from(rows, (row, i) => {
    try {
      return Buffer.from(`${jsonLine(row)}\n`);
    } catch (error) {
      problems.push({ path: `${path}[${i}]`, message: `${(error as Error).message} (options)` });
      return Buffer.alloc(0);
    }
  });
  return Buffer.concat(lines);
}

const WANTED = "wanted a row, such as { text: '...' } or { input_ids: [...] }";

/** @throws an Error that says why the row cannot be written as JSON, or would change on the way */
function jsonLine(row: unknown): string {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) throw new Error(`got ${show(row)}, ${WANTED}`);
  if (isTooDeep(row)) throw new Error(`holds itself, or nests more than ${MOST_LEVELS} deep; ${WANTED}`);
  const line: unknown = JSON.stringify(row, plainValues);
  if (typeof line !== 'string') throw new Error(`got ${show(row)}, ${WANTED}`);
  return line;
}

/**
 * Turns typed arrays, in which ids often come, into arrays (JSON would write them as objects) and bigints, which the ids of
 * other libraries are, into numbers. @throws an Error for a
 * number of a list that JSON does not have
 */
function plainValues(key: string, value: unknown): unknown {
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value as Int32Array);
  if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) return Number(value);
  const isLost =
    typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value) && /^\d+$/.test(key));
  if (isLost) throw new Error(`holds ${show(value)} at ${key === '' ? 'its root' : key}, wanted numbers that JSON has`);
  return value;
}
