/** The GGUF container against files that llama.cpp's converter wrote: test/golden/gguf. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type GgufTensor, type GgufValue, ggufBytes, ggufChunks } from '../../src/formats/gguf-write.ts';
import { thrown } from './files.ts';
import { readGguf } from './gguf-read.ts';

const GOLDEN = new URL('../golden/gguf/', import.meta.url);

function entryOf(key: string, value: string | number): GgufValue {
  if (typeof value === 'string') return { type: 'string', value };
  return { type: key === 'adapter.lora.alpha' ? 'float32' : 'uint32', value };
}

test.each(['patterns.gguf', 'llama-f16.gguf'])('%s comes out byte for byte from what it holds', (name) => {
  const want = new Uint8Array(readFileSync(new URL(name, GOLDEN)));
  const { metadata, tensors } = readGguf(want);
  expect(tensors.size).toBeGreaterThan(5);
  const written = [...tensors].map(([tensor, { data, ...info }]): GgufTensor => {
    return { name: tensor, ...info, data: () => data };
  });
  const entries = new Map([...metadata].map(([key, value]) => [key, entryOf(key, value)]));
  const got = Buffer.concat([...ggufChunks(entries, written)]);
  expect(ggufBytes(entries, written)).toBe(want.byteLength);
  expect(Buffer.compare(got, want)).toBe(0);
});

test('a tensor of another size than its shape, or whose name comes twice, is our own bug', () => {
  const tensor = (bytes: number): GgufTensor => ({
    name: 'a',
    type: 'F32',
    shape: [2, 3],
    data: () => new Uint8Array(bytes),
  });
  const write = (...tensors: GgufTensor[]) => Buffer.concat([...ggufChunks(new Map(), tensors)]);
  expect(write(tensor(24)).byteLength).toBe(128);
  expect(thrown(() => write(tensor(20))).message).toContain('20 bytes, needs 24');
  expect(thrown(() => write(tensor(24), tensor(24))).message).toContain('twice');
});
