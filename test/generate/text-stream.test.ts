import { expect, test } from 'vitest';
import { TextStream } from '../../src/generate/text-stream.ts';

/** Tokens are bytes of UTF-8. */
const tokenizer = { decode: (ids: readonly number[]) => new TextDecoder().decode(Uint8Array.from(ids)) };

function pieces(text: string, stop: readonly string[] = []) {
  const stream = new TextStream(tokenizer, { stop, skipSpecialTokens: true });
  const given: string[] = [];
  for (const byte of new TextEncoder().encode(text)) {
    given.push(stream.push(byte));
    if (stream.stopped) break;
  }
  const rest = stream.end();
  return { given, rest, stream };
}

test('a character comes once all its bytes are there', () => {
  const { given, rest } = pieces('a€b');
  expect(given).toEqual(['a', '', '', '€', 'b']);
  expect(rest).toBe('');
});

test('an unfinished character is given out at the end', () => {
  const stream = new TextStream(tokenizer, { stop: [], skipSpecialTokens: true });
  expect([stream.push(0x61), stream.push(0xe2), stream.end()]).toEqual(['a', '', '\ufffd']);
});

test('text that may begin a stop text is held back, and given out when it does not', () => {
  const { given, stream } = pieces('a--b', ['---']);
  expect(given).toEqual(['a', '', '', '--b']);
  expect(stream.stopped).toBe(false);
});

test.each([
  ['one --- two', ['---'], 'one '],
  ['abcab', ['bca', 'ab'], ''],
  ['xyz', ['z'], 'xy'],
])('%s ends before the first of %j', (text, stop, want) => {
  const { given, rest, stream } = pieces(text, stop);
  expect(stream.stopped).toBe(true);
  expect(given.join('') + rest).toBe(want);
  expect(stream.text).toBe(want);
});
