/** Feeds one reader with inputs of a seed and counts what became of them. */
import fc from 'fast-check';
import { judge } from './fault.ts';
import type { Reader } from './reader.ts';
import { watched } from './watchdog.ts';

export type Count = {
  readonly name: string;
  readonly runs: number;
  readonly accepted: number;
  readonly faults: readonly Fault[];
};
export type Fault = { readonly index: number; readonly what: string; readonly input: string };

/** Inputs are made some at a time, so that thousands need not lie in memory at once. */
const BATCH = 100;
const SHOWN_CHARACTERS = 3000;

/** Bytes as the text that they mostly are. */
function shown(input: unknown): string {
  const asTexts = (_: string, value: unknown): unknown => {
    if (value instanceof Map) return Object.fromEntries(value);
    if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
    return isBuffer(value) ? Buffer.from(value.data).toString('latin1') : value;
  };
  return JSON.stringify(input, asTexts).slice(0, SHOWN_CHARACTERS);
}

/** What JSON.stringify makes of a Buffer before it asks. */
function isBuffer(value: unknown): value is { readonly data: number[] } {
  return (
    typeof value === 'object' && value !== null && (value as { type?: unknown }).type === 'Buffer' && 'data' in value
  );
}

export async function fuzz(reader: Reader, runs: number, seed: number): Promise<Count> {
  const faults: Fault[] = [];
  let accepted = 0;
  for (let start = 0; start < runs; start += BATCH) {
    const numRuns = Math.min(BATCH, runs - start);
    // seeds of batches must not meet: those of two runs with neighbouring seeds would share their inputs
    const inputs = fc.sample(reader.inputs, { numRuns, seed: (seed * 1_000_003 + start) | 0 });
    for (const [i, input] of inputs.entries()) {
      const index = start + i;
      const verdict = await watched(`${reader.name}, input ${index} of seed ${seed}`, () => judge(reader, input));
      if (verdict.kind === 'accepted') accepted++;
      if (verdict.kind === 'fault') faults.push({ index, what: verdict.what, input: shown(input) });
    }
  }
  return { name: reader.name, runs, accepted, faults };
}
