/** Very many keys: time grows with their number, not with its square. */
import { expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import type { ConfigError } from '../../src/errors.ts';
import { cpuSeconds, SOON_SECONDS } from '../cpu-seconds.ts';

/** Problems of a configuration of these lines. */
function problems(lines: readonly string[]): readonly { path: string; message: string }[] {
  try {
    loadTrainConfig({ file: { path: 'c.yaml', text: lines.join('\n') } });
  } catch (error) {
    return (error as ConfigError).problems;
  }
  return [];
}

const numbered = (count: number, line: (i: number) => string): string[] =>
  Array.from({ length: count }, (_, i) => line(i));

test.each([
  ['unknown keys', 5000, (n: number) => numbered(n, (i) => `seed${i}: 1`)],
  ['entries of a mapping', 40_000, (n: number) => ['rank_pattern:', ...numbered(n, (i) => ` q${i}: x`)]],
  ['parts of a list', 15_000, (n: number) => ['datasets:', ...numbered(n, (i) => ` - {path: a, foo: ${i}}`)]],
] as const)('%s: %i', (_, count, lines) => {
  let found: ReturnType<typeof problems> = [];
  expect(cpuSeconds(() => (found = problems(lines(count))))).toBeLessThan(SOON_SECONDS);
  expect(found.filter(({ message }) => message.includes(`(c.yaml:${count})`)).length).toBe(1);
});

test('a key that stands twice is found in every mapping, and as often as it stands', () => {
  const found = problems(['seed: 1', 'rank_pattern: {a: 1, b: 2, a: 3}', 'seed: 2', 'seed: 3']);
  expect(found.map(({ message }) => message)).toEqual([
    'seed stands twice; keep one of the two (c.yaml:3)',
    'seed stands twice; keep one of the two (c.yaml:4)',
    'a stands twice; keep one of the two (c.yaml:2)',
  ]);
});
