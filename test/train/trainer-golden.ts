/** Reads golden runs of transformers' Trainer and of TRL, and measures how far a run of ours is from one. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { openSafetensors, readFloats } from '../../src/formats/checkpoint.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { nodeReader } from '../../src/node/files.ts';
import { bytesOf, type Files, type Run } from './run.ts';

export type LogRow = Readonly<Record<string, number>>;
export type State = Readonly<Record<string, unknown>> & { readonly log_history: readonly LogRow[] };
export type Golden = { readonly settings: Record<string, unknown>; readonly state: State; readonly files: Files };

// f32 sums in two orders: correct code stays within 3e-7 (loss) and 6e-6 (gradient norm) over 50 steps
export const LOSS_RTOL = 1e-6;
export const NORM_RTOL = 1e-5;
// values near 0.1 and rates of 1e-3 to 1e-2: rounding reaches 2e-7, decay on the wrong group 1e-3
export const PARAMETER_ATOL = 2e-6;

/** Reads settings, log and rows of a run's folder. */
export function readGolden(folder: string): Golden {
  const text = (file: string) => readFileSync(path.join(folder, file), 'utf8');
  const files: Files = new Map(['train.jsonl', 'eval.jsonl'].map((file) => [file, text(file)]));
  return { settings: JSON.parse(text('settings.json')), state: JSON.parse(text('trainer_state.json')), files };
}

export function stateOf(run: Run): State {
  return JSON.parse(Buffer.from(bytesOf(run, 'trainer_state.json')).toString()) as State;
}

/** Finds the largest relative difference in any of `keys`, and counts the values compared. */
export function worst(
  got: readonly LogRow[],
  want: readonly LogRow[],
  keys: readonly string[],
): { worst: number; compared: number } {
  const errors = want.flatMap((row, i) =>
    keys
      .filter((key) => row[key] !== undefined)
      .map((key) => Math.abs((got[i]?.[key] as number) - (row[key] as number)) / Math.abs(row[key] as number)),
  );
  // Math.max of a NaN is NaN, which no bound admits
  return { worst: Math.max(...errors), compared: errors.length };
}

export const exactly = (rows: readonly LogRow[]) =>
  rows.map(({ step, epoch, learning_rate }) => ({ step, epoch, learning_rate }));

/** Finds the largest difference of any final parameter between the run's `file` and the one in `folder`. */
export async function parameterError(run: Run, folder: string, file: string): Promise<number> {
  const want = await openSafetensors(nodeReader(folder), file);
  const got = await openSafetensors(memoryReader(run.files), file);
  expect([...got.names()].sort()).toEqual([...want.names()].sort());
  let largest = 0;
  for (const tensor of want.names()) {
    const [a, b] = [await readFloats(got, tensor), await readFloats(want, tensor)];
    expect(a.length, tensor).toBe(b.length);
    b.forEach((value, i) => {
      largest = Math.max(largest, Math.abs((a[i] as number) - value)); // Math.max keeps a NaN
    });
  }
  return largest;
}
