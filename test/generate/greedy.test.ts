/** The first tokens of every architecture, which pass its sliding window and a page of the cache; all 128: test/slow/greedy.test.ts. */
import { expect, test } from 'vitest';
import { cases, expectGreedy } from './greedy.ts';

const TOKENS = 32;

test('every model, dense and in 4 bits', () => expect(cases.length).toBe(20));

test.each(cases)('%s, %s base', (name, form) => expectGreedy(name, form, TOKENS));
