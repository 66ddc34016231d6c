import { expect, test } from 'vitest';
import { inWords } from '../../src/cli/merge/run.ts';

const update = (weight: string, update_per_step: number, update_rms: number) => ({
  weight,
  update_per_step,
  update_rms,
  weight_rms: 2,
});
// the smallest stands between the others
const updates = [update('b', 0.5, 0.02), update('a', 0.125, 0.001), update('c', 2, 0.5)];
const summary = { out: 'merged', updates, bytes: 1000 };

test('a merge into 4 bits says how many steps of a code the smallest and the largest update are', () => {
  expect(inWords({ ...summary, written_as: '4bit' } as never)).toMatch(
    /^merged: 3 weights merged, quantized again, .*\nan update is 0\.125 \(a\) to 2\.000 \(c\) steps of a 4-bit code/,
  );
});

test('a merge into 16 bits says how large they are against their weights', () => {
  expect(inWords({ ...summary, written_as: 'dense' } as never)).toMatch(
    /^merged: 3 weights merged, .*\nan update is 0\.05 % \(a\) to 25 % \(c\) of its weight, root mean square\n$/,
  );
  expect(inWords({ ...summary, updates: [], written_as: 'dense' } as never)).toMatch(
    /^merged: 0 weights merged, [^\n]*\n$/,
  );
});
