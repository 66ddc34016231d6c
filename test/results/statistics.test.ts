import { describe, expect, test } from 'vitest';
import {
  distribution,
  median,
  medianInterval,
  quantile,
  standardDeviation,
  summarizeValues,
} from '../../src/results/statistics.ts';
import { metricOf, summarizeRuns } from '../../src/results/summarize.ts';
import { makeRun, makeRuns, makeSummary } from '../report/fixture.ts';

test('median, standard deviation and quantiles by hand', () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  // mean 5, squared deviations 9 1 1 1 0 0 4 16 sum to 32, over n - 1 = 7
  expect(standardDeviation([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(Math.sqrt(32 / 7), 14);
  expect(standardDeviation([3])).toBeNull();
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  // rank 99 p counted from the smallest, which is 1: 49.5, 89.1, 94.05 and 98.01 ranks above it
  for (const [p, want] of [
    [0.5, 50.5],
    [0.9, 90.1],
    [0.95, 95.05],
    [0.99, 99.01],
  ] as const) {
    expect(quantile(hundred, p)).toBeCloseTo(want, 12);
  }
});

test('distribution keeps the raw values in their order and describes them', () => {
  expect(distribution([])).toBeNull();
  expect(distribution([3, 1, 2])).toEqual({
    values: [3, 1, 2],
    count: 3,
    mean: 2,
    sd: 1,
    p50: 2,
    p90: 2.8,
    p95: 2.9,
    p99: 2.98,
    min: 1,
    max: 3,
  });
});

describe('interval of the median', () => {
  test('below six values there is none; six have their range; ten leave one out at either end', () => {
    expect(medianInterval([1, 2, 3, 4, 5])).toBeNull();
    expect(medianInterval([6, 1, 5, 2, 4, 3])).toEqual([1, 6]);
    // 1/1024 + 10/1024 = 1.07 % on either side; 56/1024 would be 5.5 %
    expect(medianInterval([10, 1, 9, 2, 8, 3, 7, 4, 6, 5])).toEqual([2, 9]);
    expect(medianInterval(Array.from({ length: 101 }, (_, i) => i))).toEqual([40, 60]);
    expect(medianInterval(Array.from({ length: 2001 }, (_, i) => i))).toEqual([955, 1045]);
  });

  test('summarizeValues carries n and spread', () => {
    expect(summarizeValues([2, 4, 9])).toEqual({
      n: 3,
      median: 4,
      ci95: null,
      mean: 5,
      sd: Math.sqrt(13),
      min: 2,
      max: 9,
    });
    expect(summarizeValues([])).toBeNull();
  });
});

describe('summary of runs', () => {
  test('medians and paired differences come from the run files', () => {
    const runs = makeRuns();
    const summary = makeSummary(runs);
    const peaks = ['lora', 'qlora'].map(
      (arm) => metricOf(runs.find((run) => run.run_info.arm === arm)!, 'peak_memory_bytes')!,
    );
    expect(summary.arms.map((arm) => arm.metrics.peak_memory_bytes!.median)).toEqual(peaks);
    expect(summary.comparison!.n).toBe(3);
    expect(summary.comparison!.paired.peak_memory_bytes!.median_difference).toBe(peaks[1]! - peaks[0]!);
    expect(summary.comparison!.paired.peak_memory_bytes!.winner).toBe('qlora');
    expect(summary.comparison!.paired.step_time_ms!.winner).toBe('~');
    expect(summary.software_rendered).toBe(true);
  });

  test('a failed run is counted and enters no statistic', () => {
    const failed = structuredClone(makeRun('qlora', 2));
    failed.run_info.status = 'oom';
    const runs = [...makeRuns([0, 1]), makeRun('lora', 2), failed];
    const summary = summarizeRuns(runs, { suite: 'quick', createdAt: '2026-11-23T10:06:00.000Z' });
    expect(summary.arms.map(({ arm, n, failed: f }) => [arm, n, f])).toEqual([
      ['lora', 3, 0],
      ['qlora', 2, 1],
    ]);
    expect(summary.comparison!.n).toBe(2);
    expect(summary.comparison!.paired.eval_loss!.undecided_because).toEqual(['2 paired seeds, and 6 are needed']);
  });

  test('one arm alone has medians and no comparison', () => {
    const summary = makeSummary([makeRun('lora', 0), makeRun('lora', 1)]);
    expect(summary.comparison).toBeNull();
    expect(summary.arms).toHaveLength(1);
  });
});
