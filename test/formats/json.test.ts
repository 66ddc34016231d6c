/** JSON of any length and depth: what is found in it, and what is refused. */
import { expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { duplicateKey, formatSpelled, parseJson, parseSpelled } from '../../src/formats/json.ts';
import { decodeUtf8, requireTextSize } from '../../src/formats/reader.ts';
import { thrown } from './files.ts';

/** Beyond what a regular expression can match before it runs out of stack. */
const LONG = 10_000_000;

test.each([
  ['{"a": 1, "b": {"a": 2}}', null],
  ['{"a": 1, "a": 2}', 'a'],
  ['{"a": {"x": [{"k": 1, "\\u006b": 2}]}}', 'k'],
  ['{"a\\\\": 1, "a\\"": 2, "{\\"a\\\\\\"": "a\\\\\\\\", "a": 3}', null],
  ['{"a": "\\\\", "a": 1}', 'a'],
])('%s: the key that stands twice is %s', (text, key) => {
  expect(JSON.parse(text)).toBeDefined();
  expect(duplicateKey(text)).toBe(key);
});

test('numbers keep their spelling, but for those in texts', () => {
  const text = '{"a": 1e-05, "b": [1.0, -0, 12345678901234567890], "c": "1.0 \\" 2.0", "1.50": 7}';
  const wanted = JSON.stringify(JSON.parse(text.replaceAll(/(?<=[ [])(-?\d[\d.e-]*)(?=[,\]])/g, '"$1"')), null, 2);
  expect(formatSpelled(parseSpelled(text))).toBe(wanted.replaceAll(/"(1e-05|1\.0|-0|12345678901234567890)"/g, '$1'));
});

test('a string of ten million letters, or of quotes, is as good as any', () => {
  const plain = `{"a": "${'x'.repeat(LONG)}", "b": 1.0, "b": 2}`;
  const escaped = `{"a": "${'\\"'.repeat(LONG / 4)}", "b": 1.0, "b": 2}`;
  for (const text of [plain, escaped]) {
    expect(duplicateKey(text)).toBe('b');
    expect((parseSpelled(text) as { b: unknown }).b).toBe(2);
  }
});

test('the reason that a text is no JSON sends nothing to a terminal', () => {
  const error = thrown(() => parseJson('{"a\u001b[2J": 1}', 'f.json'));
  expect(error).toBeInstanceOf(DataError);
  expect((error as Error).message).not.toMatch(/\p{Cc}/u);
});

test('a file beyond the longest text is called too long, and not something else', () => {
  const bytes = new Uint8Array(2 ** 29).fill(0x61);
  expect(() => decodeUtf8(bytes, 'big.json')).toThrow(/^big\.json: is too long for one text: it has 536870912 bytes/);
  bytes[2 ** 29 - 1] = 0xff;
  expect(() => decodeUtf8(bytes, 'big.json')).toThrow('big.json: is not UTF-8 text');
  expect(() => requireTextSize('huge.json', 2 ** 31)).toThrow(/^huge\.json: is too long for one text/);
  expect(() => requireTextSize('fine.json', 2 ** 30)).not.toThrow();
});
