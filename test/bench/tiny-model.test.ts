/** The tiny model in the package: its scripts and its files. */
import { readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import * as bpe from '../../bench/models/tiny/make/bpe.mjs';
import { mobyDickChapters } from '../../src/bench/builtin-data.ts';
import { openCheckpoint, readFloats } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { readObject } from '../../src/formats/json.ts';
import { loadTokenizer, type TextTokenizer } from '../../src/formats/tokenizer.ts';
import { allLinears, parameterCount } from '../../src/model/modules.ts';
import { nodeReader } from '../../src/node/files.ts';

const DIRECTORY = fileURLToPath(new URL('../../bench/models/tiny/', import.meta.url));
const reader = nodeReader(DIRECTORY);

const open = (): Promise<TextTokenizer> => loadTokenizer(reader, 1024);

test('the tokenizer is the one its script trains, after the three special tokens', async () => {
  const { model, added_tokens } = (await readObject(reader, 'tokenizer.json')) as {
    model: { vocab: Record<string, number>; merges: string[][] };
    added_tokens: { content: string }[];
  };
  const trained = bpe.trainBpe((await mobyDickChapters('train')).join('\n'), 1024 - 256 - 3);
  expect(model.merges).toEqual(trained.merges);
  const byId = Object.entries(model.vocab).sort((a, b) => a[1] - b[1]);
  expect(byId.map(([token]) => token)).toEqual([...added_tokens.map(({ content }) => content), ...trained.tokens]);
  expect(byId.map(([, id]) => id)).toEqual(byId.map((_, i) => i));
});

test('the trainer merges the most frequent pair first, of equal ones that with the smaller ids', () => {
  // ab occurs three times, every other pair once; ids grow from a to b to the space (\u0120) to ab
  const { merges } = bpe.trainBpe('abab ab ba', 3);
  expect(merges).toEqual([
    ['a', 'b'],
    ['b', 'a'],
    ['\u0120', 'ab'],
  ]);
  expect(() => bpe.trainBpe('ab', 2)).toThrow('has only 1 merges');
});

test('every byte is a token of its own', async () => {
  const { model } = (await readObject(reader, 'tokenizer.json')) as { model: { vocab: Record<string, number> } };
  const ids = bpe.byteAlphabet().map((character) => model.vocab[character]);
  expect(ids).not.toContain(undefined);
  expect(new Set(ids).size).toBe(256);
});

test('text of one to four bytes a character comes back whole', async () => {
  const tokenizer = await open();
  const oneAndTwoBytes = Array.from({ length: 0x800 }, (_, i) => String.fromCodePoint(i)).join('');
  // The leading bytes e0 to ef and f0 to f4, with every continuation byte behind them; no surrogates.
  const threeBytes = Array.from({ length: 0xf000 / 61 }, (_, i) => 0x800 + 61 * i);
  const fourBytes = Array.from({ length: 0x100000 / 4099 }, (_, i) => 0x10000 + 4099 * i);
  const more = [...threeBytes, ...fourBytes].filter((code) => code < 0xd800 || code > 0xdfff);
  for (const text of [
    oneAndTwoBytes,
    String.fromCodePoint(...more),
    '  a\n\n b\t',
    ...(await mobyDickChapters('eval')),
  ])
    expect(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false }))).toBe(text);
});

test('ids are those of the tokenizers library', async () => {
  const tokenizer = await open();
  expect([tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([1024, 0, 1, 2]);
  // By tokenizers 0.23.3 of Python, from the same file.
  for (const [text, ids] of SAMPLES) expect(tokenizer.encode(text), text).toEqual(ids);
});

test('the checkpoint holds what config.json says, every row whole quantization blocks', async () => {
  const config = await readModelConfig(reader);
  const source = await openCheckpoint(reader);
  expect(parameterCount(config)).toBe(918_656);
  expect(allLinears(config).reduce((sum, l) => sum + l.in * l.out, 0)).toBe(786_432);
  expect(config.tie_word_embeddings).toBe(true);
  expect(config.num_key_value_heads).toBeLessThan(config.num_attention_heads);
  for (const { name, in: width, out } of allLinears(config)) {
    const info = source.info(`${name}.weight`);
    expect([name, info.dtype, info.shape, width % 64]).toEqual([name, 'BF16', [out, width], 0]);
  }
  let count = 0;
  for (const name of source.names()) {
    const values = await readFloats(source, name);
    count += values.length;
    expect(values.every(Number.isFinite), name).toBe(true);
    // training moves every tensor off its start: norms off one, matrices off their first spread
    expect(
      values.some((v) => v !== values[0]),
      name,
    ).toBe(true);
  }
  expect(count).toBe(918_656);
});

test('all of it is under 5 MB', () => {
  const files = readdirSync(DIRECTORY, { recursive: true, encoding: 'utf8' }).map((f) => statSync(DIRECTORY + f));
  expect(files.filter((f) => f.isFile()).reduce((sum, f) => sum + f.size, 0)).toBeLessThan(5_000_000);
});

const SAMPLES: readonly (readonly [string, readonly number[]])[] = [
  ['', [0]],
  ['Call me Ishmael.', [0, 37, 393, 400, 317, 845, 79, 67, 442, 16]],
  ['<|bos|>a<|eos|> <|pad|>x', [0, 0, 67, 1, 223, 2, 90]],
  [
    "  two\n\n\tTab\u2014dash \u201cq\u201d don't 1984 \u6f22 \ud83d\udc0b",
    [
      0, 223, 669, 201, 201, 200, 54, 599, 349, 70, 938, 223, 348, 253, 83, 348, 254, 292, 282, 684, 223, 19, 27, 26,
      22, 223, 165, 123, 98, 223, 175, 256, 241, 236,
    ],
  ],
];
