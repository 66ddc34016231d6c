import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { memoryReader } from '../../src/formats/memory.ts';
import { loadTokenizer, type TextTokenizer } from '../../src/formats/tokenizer.ts';

/** The tokenizers of test/golden/tokenizers; the model of each is an index into a list that they share. */
type Entry = {
  name: string;
  files: Record<string, Record<string, unknown>>;
  class: string;
  size: number;
  special: Record<'bos' | 'eos' | 'pad', number | null>;
  ids: number[][];
  plain: number[][];
  /** Starts of SHA-256 hashes of the offsets of `plain`. */
  offsets: string[];
  /** Ids of tokenizer.json alone, where they are others. */
  rust: number[][] | null;
  decoded: string[];
};
type Families = { texts: string[]; models: unknown[]; families: Entry[]; elsewhere: Entry[] };
type Parts = { texts: string[]; models: unknown[]; parts: { name: string; tokenizer: object; ids: number[][] }[] };

const read = <T>(name: string): T =>
  JSON.parse(readFileSync(fileURLToPath(new URL(`../golden/tokenizers/${name}`, import.meta.url)), 'utf8')) as T;

const { texts, models, families, elsewhere } = read<Families>('families.json');

function load(files: Entry['files'], all: readonly unknown[] = models): Promise<TextTokenizer> {
  const whole = Object.entries(files).map(([name, content]): [string, string] => {
    const filled = name === 'tokenizer.json' ? { ...content, model: all[content.model as number] } : content;
    return [name, JSON.stringify(filled)];
  });
  return loadTokenizer(memoryReader(new Map(whole)));
}

const FAMILIES = ['Llama 2', 'Llama 3', 'Mistral', 'Qwen2', 'Qwen3', 'SmolLM2', 'SmolLM3', 'Phi-3', 'Gemma', 'OLMo 2'];

test('every family that nibble trains has its tokenizer here', () => {
  const names = families.map(({ name }) => name);
  for (const family of FAMILIES) expect(names).toContain(family);
  expect([families.length, elsewhere.length]).toEqual([14, 16]);
});

/** A place in UTF-16 units as Python counts it, in characters. */
const inCharacters = (text: string, at: number): number => Array.from(text.slice(0, at)).length;

describe.each([...families, ...elsewhere])('$name', ({ files, size, special, ids, plain, offsets, rust, decoded }) => {
  test("ids and special tokens are AutoTokenizer's", async () => {
    const tokenizer = await load(files);
    for (const [i, text] of texts.entries()) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids[i]);
      expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(plain[i]);
    }
    const { bosId, eosId, padId, vocabSize } = tokenizer;
    expect({ bos: bosId, eos: eosId, pad: padId, vocabSize }).toEqual({ ...special, vocabSize: size });
  });

  test("tokens stand in the text where Rust's tokenizers say", async () => {
    const tokenizer = await load(files);
    for (const [i, text] of texts.entries()) {
      const { ids: found, starts, ends } = tokenizer.encodeWithOffsets(text);
      const pairs = found.map((_, k) => [inCharacters(text, starts[k]!), inCharacters(text, ends[k]!)]);
      const hash = createHash('sha256').update(JSON.stringify(pairs)).digest('hex').slice(0, 12);
      expect(hash, `${JSON.stringify(text)} ${JSON.stringify(pairs)}`).toBe(offsets[i]);
    }
  });

  test("tokenizer.json alone has the ids and the text of Rust's tokenizers, and a note says where transformers differs", async () => {
    const alone = await load({ 'tokenizer.json': files['tokenizer.json']! });
    for (const [i, text] of texts.entries()) {
      const want = (rust ?? ids)[i]!;
      expect(alone.encode(text), JSON.stringify(text)).toEqual(want);
      expect(alone.decode(want, { skipSpecialTokens: true })).toBe(decoded[i]);
    }
    if (rust !== null) expect((await load(files)).notes).not.toEqual([]);
  });
});

const parts = read<Parts>('parts.json');
test.each(parts.parts)("$name: ids of Rust's tokenizers", async ({ tokenizer, ids }) => {
  const opened = await load({ 'tokenizer.json': { ...tokenizer } }, parts.models);
  expect(parts.texts.map((text) => opened.encode(text))).toEqual(ids);
});

test('the parts are all there', () => {
  expect(parts.parts.length).toBeGreaterThan(120);
});
