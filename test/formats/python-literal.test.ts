import { describe, expect, test } from 'vitest';
import { pythonLiteral } from '../../src/formats/python-literal.ts';

describe('literals of Python', () => {
  test.each([
    ["['a', \"b's\"]", ['a', "b's"]],
    ["('x', 1, -2.5e3,)", ['x', 1, -2500]],
    ["{'k': [True, False, None]}", { k: [true, false, null] }],
    ["'\\x41\\u00e9\\n\\q'", 'Aé\n\\q'],
    [' [ ] ', []],
    ['1_000', 1000],
  ])('%s', (text, value) => {
    expect(pythonLiteral(text)).toEqual(value);
  });

  test.each([
    ['[1', 'ends too early'],
    ['[1 2]', 'cannot stand at character 3'],
    ['yes', 'cannot stand'],
    ["'a", 'ends too early'],
    ['[1] x', 'cannot stand'],
    ['['.repeat(200), 'nests more than'],
  ])('refuses %s', (text, message) => {
    expect(() => pythonLiteral(text)).toThrow(message);
  });
});
