import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { TestSpecification, Vitest } from 'vitest/node';
import LongestFirst, { LONGEST } from '../longest-first.ts';

test('the files that start first are there', () => {
  expect(LONGEST.filter((file) => !existsSync(file))).toEqual([]);
  expect(new Set(LONGEST).size).toBe(LONGEST.length);
});

test('they start in their order, and before all others', async () => {
  const project = { name: '', config: { sequence: { groupOrder: 0 }, isolate: true } };
  const cache = { getFileTestResults: () => undefined, getFileStats: () => undefined };
  const others = ['/a.test.ts', '/b.test.ts'];
  const given = [others[0], LONGEST[2], LONGEST[0], others[1], LONGEST[1]];
  const specs = given.map((moduleId) => ({ moduleId, project })) as unknown as TestSpecification[];
  const sorted = await new LongestFirst({ cache, config: { root: '/' } } as unknown as Vitest).sort(specs);
  expect(sorted.map(({ moduleId }) => moduleId)).toEqual([...LONGEST.slice(0, 3), ...others]);
});
