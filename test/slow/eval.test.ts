/** Every item of the golden tasks and every window of a long text against lm-eval and transformers. Minutes on a software driver. */
import { beforeAll, describe, expect, test } from 'vitest';
import { ENTRIES, type Entry, expectSameItems, type Run, runTasks } from '../eval/against-lm-eval.ts';
import { judged, strides, TASKS } from '../eval/open.ts';

const STRIDE = 1;

let runs: ReadonlyMap<Entry, Run>;
beforeAll(async () => {
  runs = await runTasks({ limit: null, batchSize: 8, stride: STRIDE, windows: Number.POSITIVE_INFINITY });
}, 1_800_000);

describe.each(ENTRIES)('with the %s', (entry) => {
  test.each(TASKS)('%s: items, results and standard errors are lm-eval’s', (name) => {
    const outcome = runs.get(entry)!.outcomes.find(({ task }) => task.name === name)!;
    expect(expectSameItems(outcome, entry)).toBe(judged[entry].samples[name]!.length);
    const want = judged[entry].results[name]!;
    for (const { metric, filter, value, stderr } of outcome.metrics) {
      // log-likelihoods within 1e-4 of thousands; a perplexity is the exponential of their mean
      expect(
        Math.abs(value / (want[`${metric},${filter}`] as number) - 1) < 1e-5 || value === want[`${metric},${filter}`],
      ).toBe(true);
      const error = want[`${metric}_stderr,${filter}`];
      if (typeof error === 'number') expect(Math.abs(stderr! - error)).toBeLessThanOrEqual(1e-4 * Math.abs(error));
      else expect(stderr).toBeNull();
    }
  });

  test('the perplexity of a text is that of transformers’ script within 1e-4', () => {
    const { answers, longTexts } = runs.get(entry)!;
    const { windows } = longTexts[0]!;
    const golden = strides[entry][STRIDE]!;
    expect(windows).toHaveLength(golden.windows.length);
    const total = windows.reduce((sum, { row, own, weight }) => sum - (answers.scores[row]!.logprob / own) * weight, 0);
    const tokens = windows.reduce((sum, { weight }) => sum + weight, 0);
    const perplexity = Math.exp(total / tokens);
    console.log(entry, perplexity, golden.perplexity);
    expect(Math.abs(perplexity - golden.perplexity)).toBeLessThan(1e-4);
  });
});
