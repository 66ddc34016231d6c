import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { pythonRegex } from '../../src/formats/python-regex.ts';
import { thrown } from './files.ts';

type Row = { pattern: string; fullmatch: string[]; match: string[] };
const golden = JSON.parse(readFileSync(new URL('../golden/peft-options/regex.json', import.meta.url), 'utf8')) as {
  names: string[];
  patterns: Row[];
};

test('the golden file has the patterns it was made for', () => {
  expect([golden.names.length, golden.patterns.length]).toEqual([19, 20]);
});

test.each(golden.patterns)('$pattern takes in what it does in Python', ({ pattern, ...wanted }) => {
  for (const anchor of ['fullmatch', 'match'] as const) {
    const regex = pythonRegex(pattern, anchor);
    expect(
      golden.names.filter((name) => regex.test(name)),
      anchor,
    ).toEqual(wanted[anchor]);
  }
});

describe('what JavaScript cannot say is refused with the reason', () => {
  test.each([
    ['(?x)a b', 'the flag (?x) has no counterpart in JavaScript'],
    ['(?>a)b', 'the group (?>a)... has no counterpart in JavaScript'],
    ['a(?i:b)', 'the group (?i:b... has no counterpart in JavaScript'],
    ['a(?i)b', 'the group (?i)b... has no counterpart in JavaScript'],
    ['(a)?(?(1)b|c)', 'the group (?(1)... has no counterpart in JavaScript'],
    ['a++', 'possessive repetition has no counterpart in JavaScript'],
    ['\\N{DIGIT ONE}', '\\N has no counterpart in JavaScript'],
    ['a\\', 'it ends in a backslash'],
    ['[a', 'a character class has no end'],
    ['(a', 'Invalid regular expression'],
  ])('%s', (pattern, reason) => {
    expect(thrown(() => pythonRegex(pattern, 'fullmatch')).message).toContain(reason);
  });
});

test('a plus after an escaped plus repeats it', () => {
  expect(pythonRegex('a\\++', 'fullmatch').test('a+++')).toBe(true);
});
