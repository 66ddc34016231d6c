import { describe, expect, test } from 'vitest';
import { isBnb4bit, readBnb4bit } from '../../src/formats/bnb4bit.ts';
import { quantizedConfig } from '../../src/formats/bnb4bit-config.ts';
import {
  type Bnb4bitToWrite,
  bnb4bitTensors,
  fitsStorage,
  pythonFloat,
  quantRecord,
} from '../../src/formats/bnb4bit-write.ts';
import { openCheckpoint, type TensorSource } from '../../src/formats/checkpoint.ts';
import { memoryWriter } from '../../src/formats/memory.ts';
import type { FileReader } from '../../src/formats/reader.ts';
import { type TensorToWrite, writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeReader } from '../../src/node/files.ts';
import { expectSameBytes } from '../wasm/helpers.ts';
import { goldenJson, thrown } from './files.ts';

const GOLDEN = new URL('../golden/', import.meta.url).pathname;

test('doubles are spelled as Python spells them', () => {
  const cases = goldenJson<[string, string][]>('../quantize/floats.json');
  expect(cases.length).toBe(22);
  for (const [hex, want] of cases) {
    const value = Buffer.from(hex, 'hex').readDoubleLE();
    expect(pythonFloat(value)).toBe(want);
  }
  expect(() => pythonFloat(Number.NaN)).toThrow('NaN has no place in JSON');
});

const RECORD: Omit<Bnb4bitToWrite, 'name'> = {
  quantType: 'fp4',
  blockSize: 128,
  dtype: 'float16',
  shape: [3, 5],
  storage: 'uint8',
  nested: null,
  packed: () => [],
  absmax: () => [],
};

test('a record has the letters of json.dumps', () => {
  expect(quantRecord(RECORD)).toBe('{"quant_type": "fp4", "blocksize": 128, "dtype": "float16", "shape": [3, 5]}');
  const nested = { absmax: () => [], offset: Math.fround(1e-5) };
  expect(quantRecord({ ...RECORD, nested })).toBe(
    '{"quant_type": "fp4", "blocksize": 128, "dtype": "float16", "shape": [3, 5], "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 9.999999747378752e-06}',
  );
});

test('a storage type that cannot hold the packed bytes is refused', () => {
  expect(fitsStorage([3, 5], 'uint8')).toBe(true); // 8 bytes
  expect(fitsStorage([3, 5], 'float32')).toBe(true);
  expect(fitsStorage([3, 6], 'bfloat16')).toBe(false); // 9 bytes
  expect(fitsStorage([3, 8], 'bfloat16')).toBe(true); // 12 bytes
  const refusal = thrown(() => bnb4bitTensors({ ...RECORD, name: 'w', shape: [3, 6], storage: 'bfloat16' }));
  expect(refusal.message).toContain('w: 9 bytes are no whole bfloat16 values');
});

const STORAGE = { U8: 'uint8', BF16: 'bfloat16', F16: 'float16', F32: 'float32' } as const;

async function bytesOf(source: TensorSource, name: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.info(name).bytes);
  await source.read(name, 0, bytes);
  return bytes;
}

/** Reads every weight and writes it again; other tensors are copied. */
async function written(reader: FileReader): Promise<{ file: Uint8Array; weights: number }> {
  const source = await openCheckpoint(reader);
  const weights = source.names().filter((name) => isBnb4bit(source, name));
  const tensors: TensorToWrite[] = [];
  for (const name of source.names()) {
    const stored = await readBnb4bit(source, name);
    const owner = weights.find((weight) => name.startsWith(`${weight}.`));
    if (stored === null && owner !== undefined) continue;
    const { dtype, shape } = source.info(name);
    const own = await bytesOf(source, name);
    if (stored === null) tensors.push({ name, dtype, shape, data: () => [own] });
    else {
      const absmax = await bytesOf(source, stored.absmax.name);
      const nested = stored.nested && (await bytesOf(source, stored.nested.absmax.name));
      tensors.push(
        ...bnb4bitTensors({
          name,
          shape: stored.shape as [number, number],
          dtype: stored.dtype,
          quantType: stored.quantType,
          blockSize: stored.blockSize,
          storage: STORAGE[dtype as keyof typeof STORAGE],
          packed: () => [own],
          absmax: () => [absmax],
          nested: nested ? { absmax: () => [nested], offset: stored.nested!.offset } : null,
        }),
      );
    }
  }
  const files = new Map<string, Uint8Array | string>();
  await writeSafetensors(memoryWriter(files), 'out', tensors);
  return { file: files.get('out') as Uint8Array, weights: weights.length };
}

const SAVED = ['formats/bnb-nf4-nested-bf16', 'formats/bnb-fp4-plain-storage', 'peft-steps/qlora/base'];

describe.each(SAVED)('%s, as transformers saved it', (directory) => {
  const reader = nodeReader(`${GOLDEN}${directory}`);

  test('read and written again it is the same file', async () => {
    const { file, weights } = await written(reader);
    expect(weights).toBeGreaterThanOrEqual(7);
    const want = new Uint8Array(await reader.size('model.safetensors'));
    await reader.read('model.safetensors', 0, want);
    expectSameBytes(file, want);
  });

  test('so is its config.json, quantization_config made anew', async () => {
    const text = await reader.readText('config.json');
    const { quantization_config } = JSON.parse(text) as { quantization_config: Parameters<typeof quantizedConfig>[1] };
    // the golden scripts leave the line's end out or in; all else is compared
    expect(quantizedConfig(text, quantization_config, null, 'config.json').trimEnd()).toBe(text.trimEnd());
  });
});
