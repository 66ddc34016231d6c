import { expect, test } from 'vitest';
import { PythonRandom } from '../../src/formats/python-random.ts';

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

test('draws what random.Random of CPython 3.11 draws', () => {
  const random = new PythonRandom(1234);
  expect(random.sample(range(10), 3)).toEqual([7, 1, 0]);
  // beyond the size up to which Python copies the pool
  expect(random.sample(range(100), 8)).toEqual([11, 74, 4, 85, 88, 10, 12, 98]);
  expect(random.choices(range(9), 6)).toEqual([3, 0, 8, 0, 5, 4]);
  expect(random.random()).toBe(0.4635479684811431);
});

test('takes seeds of more than 32 bits', () => {
  const random = new PythonRandom(2 ** 40 + 7);
  expect(random.sample(range(22), 2)).toEqual([19, 20]);
  expect(random.random()).toBe(0.5703906991004561);
});
