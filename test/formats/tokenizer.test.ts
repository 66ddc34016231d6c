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

test('special tokens may be objects, new or left out', async () => {
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
  // transformers adds a token that the vocabulary lacks behind it
  expect([some.bosId, some.eosId, some.padId]).toEqual([golden.bos, golden.vocab_size, null]);
  const none = await loadTokenizer(memoryReader(new Map([['tokenizer.json', tokenizerJson]])));
  expect(none.encode('hello')).toEqual(golden.cases[2]!.ids);
});

/** As transformers 5.23.0 found eos_token_id in the same files. */
const SPLIT: [string, object, object, number | null][] = [
  ['only there', {}, { eos_token: '</s>' }, golden.eos],
  ['an object', {}, { eos_token: { content: '</s>', lstrip: false } }, golden.eos],
  ['over tokenizer_config.json', { eos_token: '</s>' }, { eos_token: '<pad>' }, golden.pad],
  ['null over tokenizer_config.json', { eos_token: '</s>' }, { eos_token: null }, null],
  ['other tokens', { eos_token: '</s>' }, { bos_token: '<s>' }, golden.eos],
  ['not read beside added_tokens_decoder', { added_tokens_decoder: {} }, { eos_token: '</s>' }, null],
];
test.each(SPLIT)('special_tokens_map.json: %s', async (_, config, map, eos) => {
  const files = new Map<string, Uint8Array | string>([
    ['tokenizer.json', goldenBytes('tokenizer/tokenizer.json')],
    ['tokenizer_config.json', JSON.stringify(config)],
    ['special_tokens_map.json', JSON.stringify(map)],
  ]);
  expect((await loadTokenizer(memoryReader(files))).eosId).toBe(eos);
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
