/** tokenizer.json and the files beside it, of fourteen families. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { DataError } from '../../../src/errors.ts';
import { memoryReader } from '../../../src/formats/memory.ts';
import { loadTokenizer } from '../../../src/formats/tokenizer.ts';
import { bytesOf, damagedFile } from '../bytes.ts';
import { reader, require, requireEqual } from '../reader.ts';
import { anyValue, asText, type Json, mutated } from '../values.ts';

type Files = Readonly<Record<string, { readonly [key: string]: Json }>>;
type Golden = { readonly models: readonly Json[]; readonly families: readonly { readonly files: Files }[] };

const file = new URL('../../golden/tokenizers/families.json', import.meta.url);
const { models, families } = JSON.parse(readFileSync(file, 'utf8')) as Golden;

const BESIDE = ['tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json', 'config.json'];
const TEXTS = [
  '',
  'Call me Ishmael. 1851',
  '  a\n\tb\u0085<s></s>',
  'naïve 🦙 日本語 ½ ١٢٣',
  "it's don't",
  '<|end|>x',
  'ſ ﬁ Å',
];

type Content = ReadonlyMap<string, Uint8Array>;

const inputs: fc.Arbitrary<Content> = fc.constantFrom(...families).chain(({ files }) => {
  const whole = Object.entries(files).map(([name, content]) => {
    const model = models[content.model as number];
    return [name, name === 'tokenizer.json' && model !== undefined ? { ...content, model } : content] as const;
  });
  const changes = whole.map(([, content]) =>
    fc.oneof({ weight: 1, arbitrary: fc.constant<Json>(content) }, { weight: 2, arbitrary: mutated(content) }),
  );
  const more = fc.array(fc.tuple(fc.constantFrom(...BESIDE), anyValue), { maxLength: 1 });
  return fc
    .tuple(fc.tuple(...changes), more)
    .map(([values, added]) => [...whole.map(([name], i) => [name, values[i] as Json] as const), ...added])
    .chain((entries) =>
      fc.tuple(...entries.map(([name, value]) => damagedFile(bytesOf(asText(value))).map((b) => [name, b] as const))),
    )
    .map((entries) => new Map(entries));
});

export const tokenizerReader = reader<Content>({
  name: 'tokenizer.json and its companions',
  share: 16,
  inputs,
  read: async (files) => {
    const tokenizer = await loadTokenizer(memoryReader(files, 'm'));
    for (const text of TEXTS) {
      let ids: number[];
      try {
        ids = tokenizer.encode(text);
      } catch (error) {
        // a text without an unknown token may be refused, by its own words
        if (error instanceof DataError) continue;
        throw error;
      }
      const stray = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= tokenizer.vocabSize);
      require(stray === undefined, `id ${stray} of a vocabulary of ${tokenizer.vocabSize}`);
      requireEqual(tokenizer.encode(text), ids, 'the second time gives other ids');
      require(typeof tokenizer.decode(ids) === 'string', 'no text comes back');
    }
    for (const id of [tokenizer.bosId, tokenizer.eosId, tokenizer.padId])
      require(id === null || (Number.isInteger(id) && id >= 0 && id < tokenizer.vocabSize), `special token ${id}`);
  },
});
