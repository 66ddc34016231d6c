import { expect, test } from 'vitest';
import {
  formatBytes,
  formatCount,
  formatFixed,
  formatMs,
  formatPercent,
  formatRatio,
  formatSeconds,
  withSign,
} from '../../src/report/format.ts';

test('bytes take the binary unit that keeps them above one', () => {
  const cases: [number | null, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [1536, '1.50 KiB'],
    [1023.9 * 1024, '1023.9 KiB'],
    [1024 ** 2 - 1, '1.00 MiB'],
    [1024 ** 2, '1.00 MiB'],
    [56.789 * 1024 ** 2, '56.79 MiB'],
    [151_620_000_000, '141.2 GiB'],
    [1024 ** 4 * 2000, '2000.0 TiB'],
    [-2048, '−2.00 KiB'],
    [null, '–'],
  ];
  for (const [bytes, text] of cases) expect(formatBytes(bytes)).toBe(text);
});

test('numbers, units and signs', () => {
  expect(formatCount(7_346_432)).toBe('7,346,432');
  expect(formatCount(-1234)).toBe('−1,234');
  expect(formatMs(612.44)).toBe('612.4 ms');
  expect(formatMs(0.0834)).toBe('0.083 ms');
  expect(formatSeconds(2.714)).toBe('2.71 s');
  expect(formatRatio(0.89444)).toBe('×0.894');
  expect(formatPercent(0.1237)).toBe('12.4 %');
  expect(withSign(0.5, formatPercent)).toBe('+50.0 %');
  expect(withSign(-0.5, formatPercent)).toBe('−50.0 %');
  expect(withSign(0, formatPercent)).toBe('0.0 %');
});

test('a value that rounds to zero carries no sign, and an unknown one is a dash', () => {
  expect(formatFixed(-0.0004, 3)).toBe('0.000');
  expect(formatFixed(-0.0006, 3)).toBe('−0.001');
  for (const format of [formatCount, formatMs, formatSeconds, formatRatio, formatPercent])
    expect(format(null)).toBe('–');
});
