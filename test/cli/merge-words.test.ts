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
const summary = { out: 'merged', updates, losses: [], bytes: 1000 };

test('a merge into 4 bits says how many steps of a code the smallest and the largest update are', () => {
  expect(inWords({ ...summary, written_as: '4bit' } as never)).toMatch(
    /^merged: 3 weights merged, quantized again, .*\nsmallest and largest update: 0\.125 \(a\) and 2\.000 \(c\) steps of the 4-bit code/,
  );
});

test('a merge into 16 bits says how large they are against their weights', () => {
  expect(inWords({ ...summary, written_as: 'dense' } as never)).toMatch(
    /^merged: 3 weights merged, .*\nsmallest and largest update: 0\.05 % \(a\) and 25 % \(c\) of the norm of the weight\n$/,
  );
  expect(inWords({ ...summary, updates: [], written_as: 'dense' } as never)).toMatch(
    /^merged: 0 weights merged, [^\n]*\n$/,
  );
});

test('a merge with datasets says what it cost on each', () => {
  const [before, after] = [{ loss: 1.5 }, { loss: 1.25 }];
  const loss = { dataset: 'eval.jsonl', rows: 9, before, after, difference: { stderr: 0.125 } };
  const few = { ...loss, dataset: 'few.jsonl', rows: 1, difference: null };
  expect(inWords({ ...summary, updates: [], written_as: 'dense', losses: [loss, few] } as never)).toContain(
    'loss on eval.jsonl (9 rows): 1.50000 before, 1.25000 after, −0.25000 ± 0.12500\n' +
      'loss on few.jsonl (1 row): 1.50000 before, 1.25000 after, −0.25000\n',
  );
});
