/** Numbers and near-misses as people read them. */
import { expect, test } from 'vitest';
import { formatBytes, formatCount, formatDuration, formatLarge, formatPercent } from '../../src/config/format.ts';
import { editDistance, nearest } from '../../src/config/nearest.ts';

const KIB = 1024;

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.00 KiB'],
  [1536, '1.50 KiB'],
  [100 * KIB ** 2, '100 MiB'],
  [KIB ** 2 - 1, '1.00 MiB'],
  [3.5 * KIB ** 3, '3.50 GiB'],
  [12.34 * KIB ** 3, '12.3 GiB'],
  [2000 * KIB ** 4, '2000 TiB'],
  [-2048, '-2.00 KiB'],
  [Number.NaN, '–'],
])('formatBytes(%d) is %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [0.5, '0.50 ms'],
  [42.4, '42 ms'],
  [999.4, '999 ms'],
  [999.6, '1.0 s'],
  [9949, '9.9 s'],
  [9999, '10 s'],
  [59_499, '59 s'],
  [59_500, '1 min 00 s'],
  [61_500, '1 min 02 s'],
  [3_599_600, '1 h 00 min'],
  [3_720_000, '1 h 02 min'],
  [Number.POSITIVE_INFINITY, '–'],
])('formatDuration(%d) is %s', (ms, text) => expect(formatDuration(ms)).toBe(text));

test('counts, large counts and percents', () => {
  expect([0, 999, 1000, 1234567, -1234].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567', '-1,234']);
  expect([999, 999.6, 1500, 6.74e9, 999_600_000].map(formatLarge)).toEqual([
    '999',
    '1.00 k',
    '1.50 k',
    '6.74 B',
    '1.00 B',
  ]);
  expect([formatPercent(0.0345), formatPercent(1, 0), formatPercent(Number.NaN)]).toEqual(['3.5 %', '100 %', '–']);
});

test('edits count insertions, deletions, substitutions and swaps of neighbours', () => {
  expect([
    editDistance('', 'abc'),
    editDistance('abc', 'abd'),
    editDistance('abcd', 'acbd'),
    editDistance('ab', ''),
  ]).toEqual([3, 1, 1, 2]);
});

test('the nearest word is close or there is none', () => {
  const keys = ['lora_r', 'lora_alpha', 'learning_rate'];
  expect(nearest('lora-alhpa', keys)).toBe('lora_alpha');
  expect(nearest('learningrate', keys)).toBe('learning_rate');
  expect(nearest('temperature', keys)).toBeUndefined();
  expect(nearest('x', ['y'])).toBe('y');
});
