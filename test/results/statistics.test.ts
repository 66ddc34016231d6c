import { describe, expect, test } from 'vitest';
import {
  bootstrapMedianInterval,
  comparePaired,
  decideWinner,
  distribution,
  median,
  pairBySeed,
  quantile,
  standardDeviation,
  summarizeValues,
} from '../../src/results/statistics.ts';
import { metricOf, summarizeRuns } from '../../src/results/summarize.ts';
import { makeRun, makeRuns, makeSummary } from '../report/fixture.ts';

const ARMS = { baseline: 'lora', treatment: 'qlora' };
const seeded = (values: number[]) => values.map((value, seed) => ({ seed, value }));

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

describe('bootstrap interval of the median', () => {
  test('one value has none; equal values have a point; three values have their range', () => {
    expect(bootstrapMedianInterval([7])).toBeNull();
    expect(bootstrapMedianInterval([7, 7, 7])).toEqual([7, 7]);
    // P(all three draws are the smallest) + P(two of three are) = 7/27, so both tails reach the extremes
    expect(bootstrapMedianInterval([10, 30, 20])).toEqual([10, 30]);
  });

  test('the same seed repeats it and another seed moves it', () => {
    const values = Array.from({ length: 40 }, (_, i) => Math.sqrt(i) * 3.7);
    const few = { resamples: 200, seed: 1 };
    expect(bootstrapMedianInterval(values, few)).toEqual(bootstrapMedianInterval(values, few));
    expect(bootstrapMedianInterval(values, few)).not.toEqual(bootstrapMedianInterval(values, { ...few, seed: 2 }));
  });

  test('of 0..100 it is near the order statistics that the binomial names', () => {
    const [low, high] = bootstrapMedianInterval(Array.from({ length: 101 }, (_, i) => i))!;
    // 50 +- 1.96 * sqrt(101)/2 = 40.15 .. 59.85; ranks are whole, and 10,000 draws leave about one rank of noise
    expect(Math.abs(low - 40.15)).toBeLessThan(2);
    expect(Math.abs(high - 59.85)).toBeLessThan(2);
  });

  test('summarizeValues carries n and spread', () => {
    expect(summarizeValues([2, 4, 9])).toEqual({
      n: 3,
      median: 4,
      ci95: [2, 9],
      mean: 5,
      sd: Math.sqrt(13),
      min: 2,
      max: 9,
    });
    expect(summarizeValues([])).toBeNull();
  });
});

describe('paired comparison', () => {
  test('pairs by seed and leaves the unpaired out', () => {
    const left = [
      { seed: 3, value: 30 },
      { seed: 1, value: 10 },
      { seed: 9, value: 90 },
    ];
    const right = [
      { seed: 1, value: 11 },
      { seed: 3, value: 33 },
      { seed: 4, value: 44 },
    ];
    expect(pairBySeed(left, right)).toEqual([
      { seed: 1, baseline: 10, treatment: 11 },
      { seed: 3, baseline: 30, treatment: 33 },
    ]);
  });

  test('differences and ratios are taken seed by seed, not between medians', () => {
    // between medians the difference would be 2; seed by seed it is 1, 2 and 4
    const paired = comparePaired(ARMS, 'lower', seeded([10, 20, 40]), seeded([11, 22, 44]))!;
    expect(paired.differences).toEqual([1, 2, 4]);
    expect(paired.median_difference).toBe(2);
    expect(paired.difference_ci95).toEqual([1, 4]);
    expect(paired.median_ratio).toBeCloseTo(1.1, 15);
    expect(paired.winner).toBe('lora');
  });

  test('no ratio against a baseline that is not positive', () => {
    const paired = comparePaired(ARMS, 'higher', seeded([-1, 2, 3]), seeded([1, 2, 3]))!;
    expect([paired.median_ratio, paired.ratio_ci95]).toEqual([null, null]);
  });

  test('no winner below three pairs, nor where the interval holds zero', () => {
    expect(comparePaired(ARMS, 'lower', seeded([10, 10]), seeded([1, 1]))!.winner).toBe('~');
    expect(comparePaired(ARMS, 'lower', seeded([10, 10, 10]), seeded([1, 1, 1]))!.winner).toBe('qlora');
    expect(comparePaired(ARMS, 'lower', seeded([10, 10, 10]), seeded([1, 1, 11]))!.winner).toBe('~');
    expect(comparePaired(ARMS, 'lower', seeded([10]), [])).toBeNull();
  });

  test('better decides which sign wins', () => {
    expect(decideWinner(ARMS, 'lower', 3, [-2, -1])).toBe('qlora');
    expect(decideWinner(ARMS, 'higher', 3, [-2, -1])).toBe('lora');
    expect(decideWinner(ARMS, 'higher', 3, [1, 2])).toBe('qlora');
    expect(decideWinner(ARMS, 'lower', 3, [0, 2])).toBe('~');
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
    expect(summary.comparison!.paired.step_time_ms!.winner).toBe('lora');
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
    expect(summary.comparison!.paired.peak_memory_bytes!.winner).toBe('~');
  });

  test('one arm alone has medians and no comparison', () => {
    const summary = makeSummary([makeRun('lora', 0), makeRun('lora', 1)]);
    expect(summary.comparison).toBeNull();
    expect(summary.arms).toHaveLength(1);
  });
});
