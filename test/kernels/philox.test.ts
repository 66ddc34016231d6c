import { expect, test } from 'vitest';
import { type Counter, dropoutMask, type Key, philox4x32 } from '../../src/kernels/philox.ts';

const ONES = 0xffffffff;

/** The known-answer vectors that Random123 publishes for philox4x32 with 10 rounds. */
const KNOWN: readonly { counter: Counter; key: Key; words: readonly number[] }[] = [
  { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
  { counter: [ONES, ONES, ONES, ONES], key: [ONES, ONES], words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd] },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
];

test.each(KNOWN)('philox4x32 gives the published words for counter $counter', ({ counter, key, words }) => {
  expect(philox4x32(counter, key)).toEqual(words);
});

test('a mask keeps 1-p of the elements and changes with each part of its site', () => {
  const site = { seed: 42, step: 3, micro: 1, op: 7 };
  const n = 40_001;
  const mask = dropoutMask(site, 0.1, n);
  const kept = mask.reduce((a, b) => a + b) / n;
  expect(Math.abs(kept - 0.9)).toBeLessThan(5 * Math.sqrt((0.1 * 0.9) / n)); // five standard errors
  expect(dropoutMask(site, 0.1, n)).toEqual(mask);
  for (const part of ['seed', 'step', 'micro', 'op'] as const) {
    const other = dropoutMask({ ...site, [part]: site[part] + 1 }, 0.1, n);
    const both = other.reduce((a, b, i) => a + b * mask[i]!, 0) / n;
    expect(Math.abs(both - 0.81), part).toBeLessThan(5 * Math.sqrt((0.81 * 0.19) / n)); // independent masks
  }
  expect(dropoutMask(site, 0, 5)).toEqual(Uint8Array.of(1, 1, 1, 1, 1));
});
