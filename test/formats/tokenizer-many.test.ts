/** Very many added tokens, and long stretches of white space: time grows with their number, not with its square. */
import { expect, test } from 'vitest';
import { memoryReader } from '../../src/formats/memory.ts';
import { loadTokenizer, type TextTokenizer } from '../../src/formats/tokenizer.ts';
import { cpuSeconds, SOON_SECONDS } from '../cpu-seconds.ts';
import { goldenBytes } from './files.ts';

const json = JSON.parse(new TextDecoder().decode(goldenBytes('tokenizer/tokenizer.json'))) as {
  added_tokens: object[];
};
const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };

const load = (changed: object, files: Readonly<Record<string, object>> = {}): Promise<TextTokenizer> =>
  loadTokenizer(
    memoryReader(
      new Map(
        Object.entries({ 'tokenizer.json': { ...json, ...changed }, ...files }).map(([name, value]) => [
          name,
          JSON.stringify(value),
        ]),
      ),
    ),
  );

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `<tok_${i}>`);
const COUNT = 100_000;
/** A search among all others took minutes. */
const MAY_TAKE_MS = 60_000;

test.each([
  [
    'tokenizer_config.json: added_tokens_decoder',
    {
      'tokenizer_config.json': {
        added_tokens_decoder: Object.fromEntries(names(COUNT).map((content, i) => [1000 + i, { content, ...flags }])),
      },
    },
  ],
  [
    'tokenizer_config.json: additional_special_tokens',
    { 'tokenizer_config.json': { additional_special_tokens: names(COUNT) } },
  ],
  ['added_tokens.json', { 'added_tokens.json': Object.fromEntries(names(COUNT).map((name, i) => [name, 1000 + i])) }],
])(
  `${COUNT} tokens of %s`,
  async (_, files) => {
    const tokenizer = await load({}, files);
    expect(tokenizer.encode('<tok_99999><tok_5>', { addSpecialTokens: false })).toEqual([
      tokenizer.vocabSize - 1,
      tokenizer.vocabSize - COUNT + 5,
    ]);
  },
  MAY_TAKE_MS,
);

test('tokens that take the white space on their left, in a row', async () => {
  const feed = { id: 1, content: '\n', ...flags, lstrip: true };
  const tokenizer = await load({ normalizer: null, pre_tokenizer: null, added_tokens: [...json.added_tokens, feed] });
  let ids: number[] = [];
  expect(cpuSeconds(() => (ids = tokenizer.encode('\n'.repeat(400_000))))).toBeLessThan(SOON_SECONDS);
  expect(ids.length).toBeGreaterThanOrEqual(400_000);
});
