/** Feeds readers with thousands of inputs that are a little wrong; `npm run fuzz` gives it more of them, and other seeds. */
import { expect, test } from 'vitest';
import { shared } from '../fuzz/readers/index.ts';
import { type Count, fuzz } from '../fuzz/run.ts';

const { NIBBLE_TEST_FUZZ_RUNS, NIBBLE_TEST_FUZZ_SEED, NIBBLE_TEST_FUZZ_READER = '' } = process.env;
const RUNS = Number(NIBBLE_TEST_FUZZ_RUNS ?? 2000);
const SEED = Number(NIBBLE_TEST_FUZZ_SEED ?? 1);
const HOUR_MS = 3_600_000;
const SHOWN_FAULTS = 8;

const chosen = shared(RUNS).filter(([{ name }]) => name.includes(NIBBLE_TEST_FUZZ_READER));

test('there are readers to feed, each with its share, and a seed to repeat it', () => {
  expect(shared(2000).length).toBeGreaterThanOrEqual(14);
  expect(Math.abs(shared(2000).reduce((sum, [, runs]) => sum + runs, 0) - 2000)).toBeLessThan(14);
  expect(chosen.length).toBeGreaterThan(0);
  expect(Number.isSafeInteger(SEED) && RUNS >= 1).toBe(true);
});

test.each(chosen.map(([reader, runs]) => [reader.name, reader, runs] as const))(
  '%s',
  async (_, reader, runs) => {
    const started = performance.now();
    const count = await fuzz(reader, runs, SEED);
    console.log(rowOf(count, performance.now() - started));
    const shown = count.faults.slice(0, SHOWN_FAULTS);
    expect(
      shown.map(({ index, what, input }) => `input ${index}: ${what}\n  ${input}`).join('\n\n'),
      `seed ${SEED}`,
    ).toBe('');
    // a reader that refuses all, or takes all, was not tried
    if (runs >= 50) expect(count.accepted / runs).toBeGreaterThan(0.02);
    if (runs >= 50) expect(count.accepted / runs).toBeLessThan(0.98);
  },
  HOUR_MS,
);

/** A row of the table in docs/reliability.md. */
function rowOf({ name, runs, accepted, faults }: Count, ms: number): string {
  return `| ${name} | ${runs} | ${accepted} | ${runs - accepted - faults.length} | ${faults.length} | ${(ms / 1000).toFixed(0)} s |`;
}
