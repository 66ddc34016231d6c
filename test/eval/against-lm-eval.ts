/** Runs golden tasks with the tiny model and holds every item against what lm-eval gave. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { ask } from '../../src/eval/answer.ts';
import { type Answers, type TaskOutcome, taskOutcome } from '../../src/eval/outcome.ts';
import { batchesOf, readLength, shapesOf } from '../../src/eval/score.ts';
import { type PlacedText, planWork } from '../../src/eval/work.ts';
import { openGeneration } from '../generate/open.ts';
import { GOLDEN, goldenTask, judged, strides, TASKS, TINY, tinyEncoder } from './open.ts';

export const ENTRIES = ['base', 'adapter'] as const;
export type Entry = (typeof ENTRIES)[number];

export type Run = {
  readonly outcomes: readonly TaskOutcome[];
  readonly answers: Answers;
  readonly longTexts: readonly PlacedText[];
};

type RunOptions = {
  /** Items of each task. */
  readonly limit: number | null;
  readonly batchSize: number;
  readonly entries?: readonly Entry[];
  /** Place in the list of golden strides; windows at most. */
  readonly stride: number;
  readonly windows: number;
};

export async function runTasks({
  limit,
  batchSize,
  entries = ENTRIES,
  stride,
  windows,
}: RunOptions): Promise<ReadonlyMap<Entry, Run>> {
  const tasks = await Promise.all(TASKS.map((name) => goldenTask(name, { limit })));
  const { model, encoder, defaults } = await tinyEncoder();
  const { max_length: windowLength, stride: step } = strides.base[stride]!;
  const text = readFileSync(path.join(GOLDEN, 'data/sea.txt'), 'utf8');
  const whole = encoder.tokenizer.encode(text);
  const short = whole.slice(0, Math.min(whole.length, windowLength + step * (windows - 1)));
  const tokenizer = {
    ...encoder.tokenizer,
    encode: (given: string, options?: object) => (given === 'sea' ? short : encoder.tokenizer.encode(given, options)),
  };
  const options = { encoder: { ...encoder, tokenizer }, defaults, windowLength, stride: step };
  const work = planWork(tasks, [{ name: 'sea.txt', text: 'sea' }], options);
  const batches = batchesOf(work.rows.map(readLength), batchSize, encoder.maxLength);
  const engine = await openGeneration(TINY, {
    adapters: [path.join(GOLDEN, 'adapter')],
    requests: work.texts.map(({ promptIds, maxNewTokens }) => ({ prompt: promptIds.length, maxNewTokens })),
    batchSize,
    scoreShapes: shapesOf(batches),
  });
  const found = new Map<Entry, Run>();
  for (const entry of entries) {
    const adapter = ENTRIES.indexOf(entry);
    const asking = ask(engine, work, {
      tokenizer,
      batches,
      eosIds: model.eos_token_id,
      minNewTokens: 0,
      seed: 0,
      adapter,
    });
    let next = await asking.next();
    while (!next.done) next = await asking.next();
    expect(next.value.flags).toBe(0);
    const outcomes = work.tasks.map((placed) =>
      taskOutcome(placed, (next as { value: Answers }).value, judged.bootstrap_iters),
    );
    found.set(entry, { outcomes, answers: next.value, longTexts: work.longTexts });
  }
  engine.destroy();
  return found;
}

/** Both sides add up losses of f32; lm-eval keeps the sums in f32 as well, whose steps at 5,000 are 5e-4. */
export function isClose(got: number, want: number): boolean {
  return Math.abs(got - want) <= 1e-4 + 1e-6 * Math.abs(want);
}

/** Requires that each item of a task got the numbers and texts that lm-eval has, and says how many were compared. */
export function expectSameItems({ samples, task }: TaskOutcome, entry: Entry): number {
  const golden = judged[entry].samples[task.name]!.filter(({ doc_id }) => doc_id < task.items.length);
  expect(samples).toHaveLength(golden.length);
  for (const [i, { item, filter, responses, filtered, metrics }] of samples.entries()) {
    const want = golden[i]!;
    expect([item.docId, filter]).toEqual([want.doc_id, want.filter]);
    for (const [j, given] of responses.entries()) expectSame(given[0], want.resps[j]![0]);
    for (const [j, given] of filtered.entries()) expectSame(given, want.filtered_resps[j]);
    for (const [name, value] of metrics)
      for (const [k, part] of [value].flat(2).entries()) expectSame(part, [want[name]].flat()[k]);
  }
  return golden.length;
}

function expectSame(got: unknown, want: unknown): void {
  if (Array.isArray(got)) {
    for (const [i, part] of got.entries()) expectSame(part, (want as readonly unknown[])[i]);
  } else if (typeof got === 'number') expect(isClose(got, want as number), `${got} for ${want}`).toBe(true);
  else expect(got).toEqual(want);
}
