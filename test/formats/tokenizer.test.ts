import { expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { goldenBytes, goldenDirectory, goldenJson, rejection } from './files.ts';

const golden = goldenJson<{
  vocab_size: number;
  bos: number;
  eos: number;
  pad: number;
  cases: { text: string; ids: number[]; plain: number[] }[];
}>('tokenizer.json');

test('ids are those of the tokenizers library, with and without special tokens, and decode to the text', async () => {
  const tokenizer = await loadTokenizer(goldenDirectory('tokenizer'));
  expect(golden.cases.length).toBe(6);
  for (const { text, ids, plain } of golden.cases) {
    expect(tokenizer.encode(text), text).toEqual(ids);
    expect(tokenizer.encode(text, { addSpecialTokens: false }), text).toEqual(plain);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(text.replace('</s>', ''));
  }
});

test('the size of the vocabulary and the special ids', async () => {
  const { vocabSize, bosId, eosId, padId } = await loadTokenizer(goldenDirectory('tokenizer'), golden.vocab_size);
  expect([vocabSize, bosId, eosId, padId]).toEqual([golden.vocab_size, golden.bos, golden.eos, golden.pad]);
});

test('special tokens may be objects, unknown or left out', async () => {
  const tokenizerJson = new TextDecoder().decode(goldenBytes('tokenizer/tokenizer.json'));
  const config = JSON.stringify({ bos_token: { content: '<s>', lstrip: false }, eos_token: '<nobody>' });
  const some = await loadTokenizer(
    memoryReader(
      new Map([
        ['tokenizer.json', tokenizerJson],
        ['tokenizer_config.json', config],
      ]),
    ),
  );
  expect([some.bosId, some.eosId, some.padId]).toEqual([golden.bos, null, null]);
  const none = await loadTokenizer(memoryReader(new Map([['tokenizer.json', tokenizerJson]])));
  expect(none.encode('hello')).toEqual(golden.cases[2]!.ids);
});

test('a vocabulary beyond the embedding names the token, the id and the size', async () => {
  const error = await rejection(loadTokenizer(goldenDirectory('tokenizer'), golden.vocab_size - 1));
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toMatch(
    new RegExp(`token ".+" has id ${golden.vocab_size - 1}, the model's vocab_size is ${golden.vocab_size - 1}`),
  );
});

test('a tokenizer.json that is absent, or of another kind, is a DataError', async () => {
  for (const text of [undefined, '{', '{"model": 1}', '{}', '{"model": {"type": "Unheard"}}']) {
    const files = new Map(text === undefined ? [] : [['tokenizer.json', text]]);
    const error = await rejection(loadTokenizer(memoryReader(files, 'm')));
    expect(error, text).toBeInstanceOf(DataError);
    expect(error.message).toContain('m/tokenizer.json');
  }
});
