import { expect, test } from 'vitest';
import { copyCompanions } from '../../src/formats/companions.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { expectSameBytes } from '../wasm/helpers.ts';

const WANTED = [
  'LICENSE',
  'NOTICE.txt',
  'USE_POLICY.md',
  'added_tokens.json',
  'additional_chat_templates/rag.jinja',
  'additional_chat_templates/tool_use.jinja',
  'chat_template.jinja',
  'generation_config.json',
  'merges.txt',
  'preprocessor_config.json',
  'processor_config.json',
  'qwen.tiktoken',
  'sentencepiece.bpe.model',
  'source.spm',
  'special_tokens_map.json',
  'spiece.model',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'vocab.json',
  'vocab.txt',
];
const OTHERS = [
  'README.md',
  'config.json',
  'model.safetensors',
  'model.safetensors.index.json',
  'modeling_llama.py',
  'pytorch_model.bin',
  'training_args.bin',
  'x.model',
  'licenses_of_others.json',
  'sub/tokenizer.json',
  'additional_chat_templates/sub/x.jinja',
  'additional_chat_templates/notes.md',
];

test('tokenizer, templates, generation settings and terms are copied, weights, code and the rest are not', async () => {
  // three chunks, and bytes that are not UTF-8
  const sentencepiece = Uint8Array.from({ length: 2 * 2 ** 20 + 5 }, (_, i) => (i * 31) & 255);
  const files = new Map<string, Uint8Array | string>([...WANTED, ...OTHERS].map((name) => [name, name]));
  files.set('tokenizer.model', sentencepiece);
  files.set('merges.txt', '');
  const copied = new Map<string, Uint8Array | string>();
  expect(await copyCompanions(memoryReader(files), memoryWriter(copied), () => undefined)).toEqual([...WANTED].sort());
  expect([...copied.keys()].sort()).toEqual([...WANTED].sort());
  expectSameBytes(copied.get('tokenizer.model') as Uint8Array, sentencepiece);
  expect((copied.get('merges.txt') as Uint8Array).byteLength).toBe(0);
  expect(Buffer.from(copied.get('vocab.json') as Uint8Array).toString()).toBe('vocab.json');
});
