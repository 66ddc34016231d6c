import { expect, test, vi } from 'vitest';
import { TimeLimit } from '../../src/train/time-limit.ts';

/** The last whole second, counted from a start at 100 s, at which the run still goes on. */
function lastSecond(limit: TimeLimit, evaluates = false): number {
  const clock = vi.spyOn(performance, 'now');
  try {
    for (let s = 0; s <= 120; s++) {
      clock.mockReturnValue(100_000 + s * 1000);
      if (limit.isNear(evaluates)) return s - 1;
    }
    return 120;
  } finally {
    clock.mockRestore();
  }
}

test('a run ends while two steps, an evaluation and two checkpoints still fit', () => {
  const limit = new TimeLimit(1, 100_000, 0);
  // a checkpoint of nothing is thought to take a second: 60 - 2
  expect(lastSecond(limit)).toBe(57);
  limit.took({ step: 5000, evaluation: 7000 });
  limit.took({ step: 3000, evaluation: 2000 });
  expect(lastSecond(limit)).toBe(47);
  expect(lastSecond(limit, true)).toBe(40);
  limit.took({ checkpoint: 4000 });
  expect(lastSecond(limit)).toBe(41);
  limit.took({ checkpoint: 10 });
  expect(lastSecond(limit)).toBe(47);
});

test('the first checkpoint is thought to take its bytes at 100 MB a second, and a second more', () => {
  expect(lastSecond(new TimeLimit(1, 100_000, 900_000_000))).toBe(39);
});

test('without max_minutes a run never ends for its time', () => {
  expect(lastSecond(new TimeLimit(null, 100_000, 0))).toBe(120);
});
