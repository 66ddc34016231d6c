import { expect, test } from 'vitest';
import { cacheAppend } from '../../src/kernels/cache.ts';
import { Bench, sequencesAt } from '../gpu/harness.ts';

// the second sequence's third token is padding, and it begins in the middle of a page
test.each([4, 12])('tokens go behind those of their own sequence, row of %i', async (W) => {
  const [B, S, pageTokens] = [2, 3, 4];
  const pages = [
    [5, 1],
    [0, 3],
  ];
  const firsts = [2, 5];
  const counts = [3, 2];
  const bench = new Bench({ maxWorkgroups: 7 });
  const tokens = (offset: number) => Float32Array.from({ length: B * S * W }, (_, i) => offset + i);
  const [k, v] = [tokens(1), tokens(1001)];
  const [keys, values] = [bench.output('keys', [6 * pageTokens, W]), bench.output('values', [6 * pageTokens, W])];
  const rows = firsts.map((first, b) => ({ first, count: counts[b] as number }));
  const rec = bench.machine.recorder(sequencesAt(bench, rows, pages));
  const paging = { pageTokens, pagesPerRow: 2 };
  cacheAppend(rec, { B, S, W, ...paging, k: bench.input('k', k), v: bench.input('v', v), keys, values });
  await bench.machine.runOnce({ name: 'append', commands: rec.commands });
  for (const [tensor, from] of [
    [keys, k],
    [values, v],
  ] as const) {
    const want = new Float32Array(6 * pageTokens * W).fill(Number.NaN);
    for (let b = 0; b < B; b++)
      for (let t = 0; t < (counts[b] as number); t++) {
        const j = (firsts[b] as number) + t;
        const page = pages[b]?.[Math.floor(j / pageTokens)] as number;
        const row = from.subarray((b * S + t) * W, (b * S + t + 1) * W);
        want.set(row, (page * pageTokens + (j % pageTokens)) * W);
      }
    expect(await bench.read(tensor)).toEqual(want);
  }
  expect(() => cacheAppend(rec, { B, S, W: 6, ...paging, k: keys, v: keys, keys, values })).toThrow(/6 elements/);
});
