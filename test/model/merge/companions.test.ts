/** Which tokenizer and chat template a merged model has. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { copyCompanions } from '../../../src/formats/companions.ts';
import { memoryReader, memoryWriter } from '../../../src/formats/memory.ts';
import { adaptedCompanions } from '../../../src/model/merge/companions.ts';
import { rejection } from '../../formats/files.ts';

const TINY = new URL('../../../bench/models/tiny/', import.meta.url);
const text = (file: string): string => readFileSync(new URL(file, TINY), 'utf8');
const tokenizer = text('tokenizer.json');
const base = {
  'config.json': text('config.json'),
  'tokenizer.json': tokenizer,
  'tokenizer_config.json': text('tokenizer_config.json'),
  'chat_template.jinja': 'base',
  'generation_config.json': '{}',
};
const VOCAB = (JSON.parse(base['config.json']) as { vocab_size: number }).vocab_size;

/** Files of the merged model, and what was said of them. */
async function merged(adapter: Readonly<Record<string, string>>, vocabSize = VOCAB) {
  const notes: string[] = [];
  const readers = [base, adapter].map((files, i) => memoryReader(new Map(Object.entries(files)), ['base', 'out'][i]));
  const [model, own] = readers as [(typeof readers)[0], (typeof readers)[0]];
  const { reader, templates } = await adaptedCompanions(model, own, vocabSize, notes);
  const files = new Map<string, Uint8Array>();
  await copyCompanions(reader, memoryWriter(files), () => undefined, templates);
  const texts = [...files].sort().map(([file, bytes]) => [file, new TextDecoder().decode(bytes)] as const);
  return { files: Object.fromEntries(texts), notes };
}

const { 'config.json': _, ...companions } = base;

test('an adapter without them, or with the same, changes nothing', async () => {
  expect(await merged({})).toEqual({ files: companions, notes: [] });
  const same = { 'tokenizer.json': tokenizer, 'chat_template.jinja': 'base' };
  expect(await merged(same)).toEqual({ files: companions, notes: [] });
});

test("the adapter's chat template takes the base's place, wherever the two stand, and that is said", async () => {
  const inConfig = { 'tokenizer_config.json': '{"chat_template": "own"}' };
  for (const adapter of [{ 'chat_template.jinja': 'own' }, inConfig]) {
    const { files, notes } = await merged(adapter);
    expect(files).toEqual({ ...companions, 'chat_template.jinja': 'own' });
    expect(notes).toEqual([
      expect.stringMatching(/^the chat template is the adapter's \(out\/.*differs from the base's$/),
    ]);
  }
});

test("another tokenizer is taken with all of its files, and none of the base's", async () => {
  const other = `${tokenizer} `;
  const { files, notes } = await merged({ 'tokenizer.json': other, 'special_tokens_map.json': '{}' });
  expect(files).toEqual({
    'generation_config.json': '{}',
    'tokenizer.json': other,
    'special_tokens_map.json': '{}',
  });
  expect(notes).toEqual([expect.stringContaining("the tokenizer is the adapter's (out/tokenizer.json)")]);
});

test('a tokenizer with more tokens than the model has rows is refused', async () => {
  const error = await rejection(merged({ 'tokenizer.json': `${tokenizer} ` }, 100));
  expect(error.message).toContain("the model's vocab_size is 100");
});
