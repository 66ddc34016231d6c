/** All 128 tokens of every architecture; its first ones are in test/generate. */
import { test } from 'vitest';
import { cases, expectGreedy } from '../generate/greedy.ts';

test.each(cases)('%s, %s base', (name, form) => expectGreedy(name, form));
