import { expect, test } from 'vitest';
import { formatDuration } from '../../src/cli/shared/duration.ts';

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
