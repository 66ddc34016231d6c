/** Near-misses, and the keys they were meant for. */
import { expect, test } from 'vitest';
import { editDistance, nearest } from '../../src/config/nearest.ts';

test('edits count insertions, deletions, substitutions and swaps of neighbours', () => {
  expect([
    editDistance('', 'abc'),
    editDistance('abc', 'abd'),
    editDistance('abcd', 'acbd'),
    editDistance('ab', ''),
  ]).toEqual([3, 1, 1, 2]);
});

test('the nearest word is close or there is none', () => {
  const keys = ['lora_r', 'lora_alpha', 'learning_rate'];
  expect(nearest('lora-alhpa', keys)).toBe('lora_alpha');
  expect(nearest('learningrate', keys)).toBe('learning_rate');
  expect(nearest('temperature', keys)).toBeUndefined();
  expect(nearest('x', ['y'])).toBe('y');
});
