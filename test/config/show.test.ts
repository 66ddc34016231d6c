/** Any value in a message: short, and never a reason for another error. */
import { expect, test } from 'vitest';
import { isTooDeep, MOST_LEVELS } from '../../src/config/depth.ts';
import { show } from '../../src/config/show.ts';
import { readYaml } from '../../src/config/yaml-file.ts';
import { ConfigError } from '../../src/errors.ts';

const circular: unknown[] = ['a'];
circular.push(circular, { again: circular });
const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
/** Throws where more of it is read than a message has room for. */
const endless = new Proxy([] as unknown[], {
  get: (_, key) => {
    if (key === 'length') return 2 ** 32 - 1;
    if (Number(key) > 100) throw new Error('read on and on');
    return 1;
  },
});

test.each([
  [null, 'null'],
  [undefined, 'absent'],
  ['a"b\n', '"a\\"b\\n"'],
  [-0.5, '-0.5'],
  [[Number.NaN, Infinity, undefined], '[NaN,Infinity,undefined]'],
  [{ a: [1, { b: null }], 'c d': true }, '{"a":[1,{"b":null}],"c d":true}'],
  [10n ** 20n, '100000000000000000000n'],
  [{ id: 7n }, '{"id":7n}'],
  [new Uint32Array([1, 2]), '[1,2]'],
  [() => 1, 'a function'],
  [Symbol('s'), 'Symbol(s)'],
  [new Date(0), '"1970-01-01T00:00:00.000Z"'],
  [Object.create(null, { x: { value: 1, enumerable: true } }), '{"x":1}'],
])('%o is shown as %s', (value, text) => {
  expect(show(value)).toBe(text);
});

test('what is longer than 80 characters is cut, whole letters only', () => {
  expect(show('x'.repeat(1e6))).toBe(`"${'x'.repeat(79)}…`);
  expect(show('x'.repeat(78))).toBe(`"${'x'.repeat(78)}"`);
  expect(show(`${'x'.repeat(78)}😀😀`)).toBe(`"${'x'.repeat(78)}…`);
  expect(show(Array(1e9))).toMatch(/^\[(undefined,){7}undefined…$/);
});

test('circular, deep and endless values end with the room', () => {
  expect(show(circular)).toMatch(/^\["a",\["a",\["a",.*…$/);
  expect(show(deep(1e5))).toBe(`${'['.repeat(80)}…`);
  expect(show(endless)).toBe(`[${'1,'.repeat(39)}1…`);
});

test('a value that cannot be read is said to be one', () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const throwing = {
    get x(): never {
      throw new Error('no');
    },
  };
  expect(show(throwing)).toContain('an object that cannot be read');
  expect(show(proxy)).toContain('an object that cannot be read');
});

test('values that nest too deep, or hold themselves, are found without recursion', () => {
  expect([MOST_LEVELS, MOST_LEVELS + 1, 1e5].map((levels) => isTooDeep(deep(levels)))).toEqual([false, true, true]);
  expect(isTooDeep(circular)).toBe(true);
  // each level twice the one below: as a tree it would have 2^60 leaves
  let shared: unknown = 'leaf';
  for (let i = 0; i < 60; i++) shared = [shared, shared];
  expect(isTooDeep(shared)).toBe(false);
});

test.each([
  ['lists', '['.repeat(20_000) + ']'.repeat(20_000)],
  ['lists that never close', '['.repeat(20_000)],
  ['mappings', '{a: '.repeat(20_000) + '}'.repeat(20_000)],
  ['block lists', `${'- '.repeat(20_000)}a`],
  ['keys', `${'? '.repeat(20_000)}a`],
])('YAML of 20,000 nested %s is refused by its depth', (_, text) => {
  const { problems } = readYaml({ path: 'deep.yaml', text: `seeds: 1\nlora_r:\n  ${text}` });
  expect(problems).toHaveLength(1);
  expect(problems[0]?.message).toMatch(/nest more than 64 deep; is it the right file\? \(deep\.yaml:3\)/);
});

test('YAML whose anchors unfold without end is refused', () => {
  const bomb = ['a: &a0 [x, x]', ...Array.from({ length: 30 }, (_, i) => `b${i}: &a${i + 1} [*a${i}, *a${i}]`)];
  for (const text of [bomb.join('\n'), 'a: &x [a, *x]', 'a: &x {b: {c: *x}}'])
    expect(readYaml({ path: 'bomb.yaml', text }).problems).toHaveLength(1);
});

test('a dataset given as a configuration is refused by its size', () => {
  const text = `${JSON.stringify({ text: 'Call me Ishmael.' })}\n`.repeat(40_000);
  expect(readYaml({ path: 'rows.jsonl', text }).problems).toEqual([
    {
      path: '',
      message:
        'rows.jsonl is too large for a configuration: 1120000 bytes, wanted at most 524288. Is it the right file?',
    },
  ]);
});

test('a message lists 20 problems and counts the rest; the error holds them all', () => {
  const problems = Array.from({ length: 1000 }, (_, i) => ({ path: `${i}`.repeat(1000), message: 'unknown key' }));
  const error = new ConfigError(problems);
  expect(error.problems).toHaveLength(1000);
  const lines = error.message.split('\n');
  expect([lines.length, lines.at(-1)]).toEqual([21, 'and 980 more']);
  expect(error.message.length).toBeLessThan(3000);
});
