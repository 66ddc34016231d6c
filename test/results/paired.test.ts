import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { judge, type Obstacles } from '../../src/results/judge.ts';
import { comparePairs, favoured, pairBySeed } from '../../src/results/paired.ts';
import { holm, signedRankInterval, signedRankP } from '../../src/results/signed-rank.ts';
import type { Metric } from '../../src/results/summary-schema.ts';

const ARMS = { baseline: 'lora', treatment: 'qlora' };
const NOTHING: Obstacles = { speed: [], quality: [] };
const seeded = (values: readonly number[]) => values.map((value, seed) => ({ seed, value }));

type Golden = {
  readonly tests: readonly { readonly differences: number[]; readonly p: number }[];
  readonly many: { readonly differences: number[]; readonly p: number };
  readonly tied: readonly { readonly differences: number[]; readonly p: number }[];
  readonly holm: readonly { readonly p: number[]; readonly adjusted: number[] }[];
};
const golden = JSON.parse(readFileSync(new URL('../golden/statistics/scipy.json', import.meta.url), 'utf8')) as Golden;

describe('against SciPy', () => {
  test('the exact signed-rank test, 24 samples of 6 to 40 pairs', () => {
    expect(golden.tests).toHaveLength(24);
    // both sum the same 2^n cases; what is left is rounding of doubles
    for (const { differences, p } of golden.tests) expect(signedRankP(differences) / p).toBeCloseTo(1, 12);
  });

  test('beyond 200 pairs, where the normal distribution stands in: within half a percent of the exact p', () => {
    expect(golden.many.differences).toHaveLength(240);
    expect(Math.abs(signedRankP(golden.many.differences) / golden.many.p - 1)).toBeLessThan(0.005);
  });

  test('ties and zeros: every sign pattern counted', () => {
    expect(golden.tied).toHaveLength(4);
    for (const { differences, p } of golden.tied) expect(signedRankP(differences)).toBeCloseTo(p, 14);
  });

  test('Holm', () => {
    expect(golden.holm).toHaveLength(3);
    for (const { p, adjusted } of golden.holm) {
      for (const [i, value] of holm(p).entries()) expect(value).toBeCloseTo(adjusted[i]!, 14);
    }
  });
});

describe('signed ranks by hand', () => {
  test('six pairs of one sign: 2 of 64 sign patterns are as extreme', () => {
    expect(signedRankP([1, 2, 3, 4, 5, 6])).toBe(2 / 64);
    expect(signedRankP([-1, -2, -3, -4, -5, -6])).toBe(2 / 64);
    expect(signedRankP([0, 0, 0])).toBe(1);
    expect(signedRankP([])).toBe(1);
  });

  test('the interval holds the shifts that the test does not reject', () => {
    expect(signedRankInterval([1, 2, 3, 4, 5])).toBeNull();
    expect(signedRankInterval([6, 1, 5, 2, 4, 3])).toEqual([1, 6]);
    const values = golden.tests[12]!.differences;
    const [low, high] = signedRankInterval(values)!;
    const shifted = (by: number) => signedRankP(values.map((value) => value - by));
    expect(shifted(low + 1e-9)).toBeGreaterThan(0.05);
    expect(shifted(low - 1e-9)).toBeLessThanOrEqual(0.05);
    expect(shifted(high - 1e-9)).toBeGreaterThan(0.05);
    expect(shifted(high + 1e-9)).toBeLessThanOrEqual(0.05);
  });
});

describe('pairs', () => {
  test('are of one seed; the unpaired are left out', () => {
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
    expect(comparePairs(seeded([10]), [])).toBeNull();
  });

  test('differences and ratios are taken seed by seed, not between medians; three have a range and no interval', () => {
    // between medians the difference would be 2; seed by seed it is 1, 2 and 4
    const pairs = comparePairs(seeded([10, 20, 40]), seeded([11, 22, 44]))!;
    expect(pairs.differences).toEqual([1, 2, 4]);
    expect(pairs.median_difference).toBe(2);
    expect(pairs.difference_range).toEqual([1, 4]);
    expect([pairs.difference_ci95, pairs.ratio_ci95, pairs.p_value]).toEqual([null, null, null]);
    expect(pairs.median_ratio).toBeCloseTo(1.1, 15);
  });

  test('there is no ratio against a baseline that is not positive', () => {
    const pairs = comparePairs(seeded([-1, 2, 3]), seeded([1, 2, 3]))!;
    expect([pairs.median_ratio, pairs.ratio_range, pairs.ratio_ci95]).toEqual([null, null, null]);
  });

  test('positive values are tested by their ratios: one slow machine does not hide a steady factor', () => {
    const baseline = [10, 11, 9, 10, 400, 12, 10];
    const pairs = comparePairs(seeded(baseline), seeded(baseline.map((value) => value * 1.1)))!;
    expect(pairs.p_value).toBe(2 / 128);
    expect(pairs.ratio_ci95![0]).toBeCloseTo(1.1, 12);
  });

  test('which arm is favoured follows from the sign and from which way is better', () => {
    expect(favoured(ARMS, 'lower', -1)).toBe('qlora');
    expect(favoured(ARMS, 'higher', -1)).toBe('lora');
    expect(favoured(ARMS, 'higher', 1)).toBe('qlora');
    expect(favoured(ARMS, 'lower', 0)).toBe('~');
  });
});

describe('judgement', () => {
  const steady = [100, 101, 99, 102, 98, 100.5, 99.5, 101.5];
  const noise = [3, -1, 2, -3, 1, -2, 0.5, -0.5];
  const losses = steady.map((value) => value / 50);
  /** Judges with the given metrics; the others were not measured. */
  const verdict = (given: Partial<Record<Metric, [readonly number[], readonly number[]]>>, obstacles = NOTHING) => {
    const names = [
      'peak_memory_bytes',
      'step_time_ms',
      'tokens_per_second',
      'eval_loss',
      'eval_loss_drop',
      'perplexity',
    ];
    const compared = Object.fromEntries(
      names.map((name) => {
        const values = given[name as Metric];
        return [name, values === undefined ? null : comparePairs(seeded(values[0]), seeded(values[1]))];
      }),
    );
    return judge(ARMS, compared as Parameters<typeof judge>[1], obstacles);
  };
  const slower = steady.map((value, i) => value * 1.08 + noise[i]!);

  test('bytes that repeat exactly have a winner from two pairs on, without a test', () => {
    const memory = verdict({
      peak_memory_bytes: [
        [20, 20],
        [15, 15],
      ],
    }).peak_memory_bytes!;
    expect([memory.winner, memory.p_value, memory.undecided_because]).toEqual(['qlora', null, []]);
    expect(verdict({ peak_memory_bytes: [[20], [15]] }).peak_memory_bytes!.winner).toBe('~');
    expect(
      verdict({
        peak_memory_bytes: [
          [20, 20],
          [20, 20],
        ],
      }).peak_memory_bytes!.winner,
    ).toBe('~');
    // bytes that move are noisy like anything else
    expect(
      verdict({
        peak_memory_bytes: [
          [20, 21],
          [15, 15],
        ],
      }).peak_memory_bytes!.winner,
    ).toBe('~');
  });

  test('eight percent more time at eight seeds is named, and throughput follows', () => {
    const judged = verdict({
      step_time_ms: [steady, slower],
      tokens_per_second: [steady.map((v) => 1e5 / v), slower.map((v) => 1e5 / v)],
    });
    expect(judged.step_time_ms!.winner).toBe('lora');
    expect(judged.tokens_per_second!.winner).toBe('lora');
  });

  test('five pairs name none, whatever they show', () => {
    const step = verdict({ step_time_ms: [steady.slice(0, 5), slower.slice(0, 5)] }).step_time_ms!;
    expect([step.winner, step.p_holm]).toEqual(['~', null]);
    expect(step.undecided_because).toEqual(['5 paired seeds, and 6 are needed']);
  });

  test('two noisy metrics share the chance of a false alarm: six pairs of one sign are not enough for both', () => {
    const six = (values: readonly number[]) => values.slice(0, 6);
    const alone = verdict({ step_time_ms: [six(steady), six(slower)] });
    expect([alone.step_time_ms!.p_holm, alone.step_time_ms!.winner]).toEqual([2 / 64, 'lora']);
    const noisy = losses.map((value, i) => value + noise[i]! / 100);
    const withNoise = verdict({ step_time_ms: [six(steady), six(slower)], eval_loss: [six(losses), six(noisy)] });
    expect([withNoise.step_time_ms!.p_holm, withNoise.step_time_ms!.winner]).toEqual([4 / 64, '~']);
  });

  test('a difference below the minimum effect is not named, however sure', () => {
    const tiny = verdict({ step_time_ms: [steady, steady.map((value, i) => value * 1.001 + i * 1e-6)] }).step_time_ms!;
    expect(tiny.p_holm).toBeLessThan(0.05);
    expect(tiny.undecided_because).toEqual(['the difference is below the 2 % that count']);
    const loss = verdict({ eval_loss: [losses, losses.map((value, i) => value - 0.0014 - i * 1e-6)] }).eval_loss!;
    expect(loss.undecided_because).toEqual(['the difference is below the 0.005 nats/token that count']);
  });

  test('what forbids a winner in time forbids it there alone', () => {
    const judged = verdict(
      { step_time_ms: [steady, slower], eval_loss: [losses, losses.map((value, i) => value + 0.02 + i * 1e-4)] },
      { speed: ['a software driver computed it'], quality: [] },
    );
    expect(judged.step_time_ms!.undecided_because).toEqual(['a software driver computed it']);
    expect([judged.eval_loss!.p_holm, judged.eval_loss!.winner]).toEqual([2 / 256, 'lora']);
  });

  test('perplexity and the drop follow the loss, and only where their own pairs agree', () => {
    const after = losses.map((value, i) => value + 0.02 + i * 1e-4);
    const judged = verdict({
      eval_loss: [losses, after],
      perplexity: [losses.map(Math.exp), after.map(Math.exp)],
      eval_loss_drop: [losses.map(() => 1), losses.map(() => 1)],
    });
    expect([judged.perplexity!.winner, judged.eval_loss_drop!.winner]).toEqual(['lora', '~']);
  });
});
