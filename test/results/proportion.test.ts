import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { mcNemar, wilsonInterval } from '../../src/results/proportion.ts';

const golden = new URL('../golden/statistics/scipy.json', import.meta.url);
const { shares } = JSON.parse(readFileSync(golden, 'utf8')) as {
  readonly shares: {
    readonly wilson: readonly {
      readonly successes: number;
      readonly n: number;
      readonly low: number;
      readonly high: number;
    }[];
    readonly mcnemar: readonly { readonly only_first: number; readonly only_second: number; readonly p: number }[];
  };
};

describe('shares, against SciPy', () => {
  test.each(shares.wilson)('Wilson’s interval of $successes in $n', ({ successes, n, low, high }) => {
    const [from, to] = wilsonInterval(successes, n);
    // f64 on both sides
    expect(Math.abs(from - low)).toBeLessThan(1e-12);
    expect(Math.abs(to - high)).toBeLessThan(1e-12);
  });

  test.each(shares.mcnemar)('McNemar’s test of $only_first against $only_second', ({ only_first, only_second, p }) => {
    const both = [true, true, false];
    const first = [...Array(only_first).fill(true), ...Array(only_second).fill(false), ...both];
    const second = [...Array(only_first).fill(false), ...Array(only_second).fill(true), ...both];
    const found = mcNemar(first, second);
    expect(found).toMatchObject({ only_first, only_second });
    // 1,500 terms by logarithms: 1e-12 each
    expect(Math.abs(found.p_value / p - 1)).toBeLessThan(1e-10);
  });
});
