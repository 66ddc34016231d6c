/** The first items of the golden tasks against lm-eval's own, one by one; all of them are in test/slow. */
import { beforeAll, describe, expect, test } from 'vitest';
import { ENTRIES, type Entry, expectSameItems, isClose, type Run, runTasks } from './against-lm-eval.ts';
import { strides, TASKS } from './open.ts';

const LIMIT = 2;
const STRIDE = 2;
const WINDOWS = 3;

let runs: ReadonlyMap<Entry, Run>;
beforeAll(async () => {
  runs = await runTasks({ limit: LIMIT, batchSize: 8, stride: STRIDE, windows: WINDOWS });
}, 300_000);

describe.each(ENTRIES)('with the %s', (entry) => {
  test.each(TASKS)('%s: each item is lm-eval’s', (name) => {
    const outcome = runs.get(entry)!.outcomes.find(({ task }) => task.name === name)!;
    expect(expectSameItems(outcome, entry)).toBeGreaterThanOrEqual(LIMIT);
  });

  test('each window of a long text has the loss that transformers gives', () => {
    const { answers, longTexts } = runs.get(entry)!;
    const { windows } = longTexts[0]!;
    expect(windows).toHaveLength(WINDOWS);
    for (const [i, { row, own, weight, begin, end }] of windows.entries()) {
      const want = strides[entry][STRIDE]!.windows[i]!;
      expect([begin, end, weight]).toEqual([want.begin, want.end, want.tokens]);
      // f32 on both sides
      expect(Math.abs(-answers.scores[row]!.logprob / own - want.loss)).toBeLessThan(1e-5);
    }
  });
});

test('what an item gets does not depend on the batch', async () => {
  const alone = await runTasks({ limit: 1, batchSize: 1, entries: ['adapter'], stride: STRIDE, windows: 1 });
  for (const { samples, task } of alone.get('adapter')!.outcomes) {
    const batched = runs.get('adapter')!.outcomes.find((other) => other.task.name === task.name)!.samples;
    for (const { item, filter, responses } of samples) {
      const same = batched.find((other) => other.item.docId === item.docId && other.filter === filter)!;
      for (const [j, [answer]] of responses.entries()) {
        const [got, want] = [[answer].flat(), [same.responses[j]![0]].flat()];
        // a row by itself goes through other kernels, whose sums are in another order
        if (typeof got[0] === 'number') expect(isClose(got[0], want[0] as number)).toBe(true);
        else expect(got).toEqual(want);
      }
    }
  }
}, 120_000);
