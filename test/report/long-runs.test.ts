/** Reports of long runs: made in seconds, with as many marks as a chart has room for, and nothing left out of the figures. */
import { describe, expect, test } from 'vitest';
import { MOST_MARKS, thinnedCurve, thinnedDots } from '../../src/report/charts/thin.ts';
import { REPORT_FILES, renderReport } from '../../src/report/report.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { distribution } from '../../src/results/statistics.ts';
import { makeRun, makeSummary } from './fixture.ts';

const STEPS = 200_000;
/** It takes 5 to 8 s on two busy cores. */
const MAY_TAKE_MS = 60_000;

/** A run of the fixture with its history repeated, and a slowest step and a highest loss that stand alone. */
function longRun(arm: 'lora' | 'qlora', seed: number): RunRecord {
  const run = makeRun(arm, seed);
  const { history } = run.train_info;
  const long = Array.from({ length: STEPS }, (_, i) => ({ ...history[i % history.length]!, step: i + 1 }));
  long[77_777] = { ...long[77_777]!, loss: 9, step_time_ms: 99_000 };
  const times = distribution(long.map(({ step_time_ms }) => step_time_ms ?? 0));
  return { ...run, train_info: { ...run.train_info, history: long, step_time_ms: times } };
}

test(`a report of runs with ${STEPS} steps`, async () => {
  const runs = [longRun('lora', 0), longRun('qlora', 0)];
  const started = performance.now();
  const files = await renderReport({ runs, summary: makeSummary(runs) });
  expect(performance.now() - started).toBeLessThan(MAY_TAKE_MS);
  const markdown = files.get(REPORT_FILES.markdown)!;
  expect(markdown).toMatch(/\| 200,?000 \|/);
  expect(markdown).toContain(`${MOST_MARKS.toLocaleString('en-US')} are drawn, evenly spaced by rank`);
  const charts = [...files].filter(([file]) => file.endsWith('.svg')).map(([, text]) => text.length);
  expect(Math.max(...charts)).toBeLessThan(2 ** 20);
});

describe('marks', () => {
  test('of a short run are its steps, in their order', () => {
    expect(thinnedDots([3, 1, 2])).toEqual([3, 1, 2]);
    const points = [{ step: 1, loss: 2, low: 1, high: 3 }];
    expect(thinnedCurve(points)).toBe(points);
  });

  test('of a long one are as many as there is room for, both ends among them', () => {
    const dots = thinnedDots(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 5000));
    expect(dots).toHaveLength(MOST_MARKS);
    expect([dots[0], dots.at(-1)]).toEqual([0, 4999]);
    expect(dots[MOST_MARKS / 2]).toBeCloseTo(2502, -1);
  });

  test('of a long curve keep the last step, every peak, and the median of neighbours', () => {
    const points = Array.from({ length: 2500 }, (_, i) => ({
      step: i + 1,
      loss: i,
      low: i - 1,
      high: i === 1234 ? 9e9 : i + 1,
    }));
    const thinned = thinnedCurve(points);
    expect(thinned).toHaveLength(MOST_MARKS);
    expect(thinned.slice(0, 2)).toEqual([
      { step: 2, loss: 0.5, low: -1, high: 2 },
      { step: 5, loss: 3, low: 1, high: 5 },
    ]);
    expect(thinned.at(-1)?.step).toBe(2500);
    expect(thinned.filter(({ high }) => high === 9e9)).toHaveLength(1);
  });
});
