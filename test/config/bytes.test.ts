/** Sizes as people write them: powers of ten and of two apart, never more bytes than were asked for. */
import { expect, test } from 'vitest';
import { bytesOfSize, sizeInWords, sizeType } from '../../src/config/bytes.ts';

test.each([
  [4096, 4096],
  ['1KB', 1000],
  ['2 MB', 2_000_000],
  ['5GB', 5_000_000_000],
  ['1TB', 1_000_000_000_000],
  ['1KiB', 1024],
  ['3MiB', 3_145_728],
  ['1.5 GiB', 1_610_612_736],
  ['1TiB', 1_099_511_627_776],
  ['0.0015KB', 1],
  ['1.9999 KB', 1999],
] as const)('%s is %d bytes', (size, bytes) => {
  expect(bytesOfSize(size)).toBe(bytes);
});

test.each(['5', 'GB', '-1GB', '1.GB', '5GBs', '0.1 B', '9999999 TB'])('%s is no size', (text) => {
  expect(sizeType.safeParse(text).success).toBe(false);
});

test.each([
  [0, '0.00 MiB'],
  [5_242_880, '5.00 MiB'],
  [2 ** 30 - 1, '1024.00 MiB'],
  [2 ** 30, '1.00 GiB'],
  [1_610_612_736, '1.50 GiB'],
])('%d bytes in words: %s', (bytes, words) => {
  expect(sizeInWords(bytes)).toBe(words);
});
