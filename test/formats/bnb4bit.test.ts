import { describe, expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { isBnb4bit, readBnb4bit } from '../../src/formats/bnb4bit.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import type { Dtype } from '../../src/formats/dtype.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { goldenDirectory, goldenJson, rejection } from './files.ts';

type Golden = {
  shape: number[];
  quant_type: 'nf4' | 'fp4';
  blocksize: number;
  offset: number | null;
  nested_blocksize: number | null;
  packed_first: number[];
  absmax_first: number[];
  code: number[];
};
const golden = goldenJson<Record<string, Golden>>('bnb.json');
const WEIGHT = 'model.layers.0.self_attn.k_proj.weight';

test.each(Object.keys(golden))('%s, as bitsandbytes quantized and transformers saved it', async (name) => {
  const wanted = golden[name]!;
  const source = await openCheckpoint(goldenDirectory(name));
  const got = await readBnb4bit(source, WEIGHT);
  if (got === null) throw new Error('not found');
  expect(got).toMatchObject({
    quantType: wanted.quant_type,
    blockSize: wanted.blocksize,
    shape: wanted.shape,
    dtype: 'bfloat16',
  });
  expect(got.nested?.offset ?? null).toBe(wanted.offset);
  expect(got.nested?.blockSize ?? null).toBe(wanted.nested_blocksize);
  expect([...got.quantMap]).toEqual(wanted.code);
  const packed = new Uint8Array(8);
  await source.read(got.packed.name, 0, packed);
  expect([...packed]).toEqual(wanted.packed_first);
  const absmax = new Uint8Array(12);
  await source.read(got.absmax.name, 0, absmax);
  const first = got.nested ? [...absmax.subarray(0, 3)] : [...new Float32Array(absmax.buffer)];
  expect(first).toEqual(wanted.absmax_first);
});

test('one golden is nested, the other keeps its codes as bfloat16', async () => {
  const nested = await readBnb4bit(await openCheckpoint(goldenDirectory('bnb-nf4-nested-bf16')), WEIGHT);
  expect([nested?.nestedQuantMap?.length, nested?.nestedQuantMap?.[255], nested?.nestedQuantMap?.[127]]).toEqual([
    256, 1, 0,
  ]);
  expect(nested?.nested?.absmax.bytes).toBe(4);
  const plain = await readBnb4bit(await openCheckpoint(goldenDirectory('bnb-fp4-plain-storage')), WEIGHT);
  expect(plain?.packed.dtype).toBe('BF16');
  expect(plain?.nested).toBeUndefined();
});

test('only tensors with a quantization record count as quantized', async () => {
  const source = await openCheckpoint(goldenDirectory('bnb-nf4-nested-bf16'));
  const quantized = source.names().filter((name) => isBnb4bit(source, name));
  expect(quantized.length).toBe(7);
  expect(await readBnb4bit(source, 'lm_head.weight')).toBeNull();
});

/** Builds a double-quantized weight of (2, 48), 96 elements in 2 blocks of 64, with a test's changes. */
async function handmade(state: object, tensors: Record<string, [Dtype, number[]] | null> = {}, record = 'nf4') {
  const json = new TextEncoder().encode(
    JSON.stringify({
      quant_type: 'nf4',
      blocksize: 64,
      dtype: 'float16',
      shape: [2, 48],
      nested_blocksize: 256,
      nested_dtype: 'float32',
      nested_offset: 0.5,
      ...state,
    }),
  );
  const all: Record<string, [Dtype, number[]] | null> = {
    w: ['U8', [48, 1]],
    'w.absmax': ['U8', [2]],
    'w.quant_map': ['F32', [16]],
    'w.nested_absmax': ['F32', [1]],
    'w.nested_quant_map': ['F32', [256]],
    ...tensors,
  };
  const size = { U8: 1, F32: 4 } as Record<Dtype, number>;
  const written = Object.entries(all).flatMap(([name, entry]) =>
    entry === null
      ? []
      : [
          {
            name,
            dtype: entry[0],
            shape: entry[1],
            data: () => [new Uint8Array(entry[1].reduce((a, b) => a * b) * size[entry[0]]!)],
          },
        ],
  );
  const files = new Map<string, Uint8Array>();
  const recordName = `w.quant_state.bitsandbytes__${record}`;
  await writeSafetensors(memoryWriter(files), 'model.safetensors', [
    ...written,
    { name: recordName, dtype: 'U8', shape: [json.byteLength], data: () => [json] },
  ]);
  return readBnb4bit(await openCheckpoint(memoryReader(files, 'm')), 'w');
}

test('a handmade one reads back, also with a block that straddles rows', async () => {
  expect(await handmade({})).toMatchObject({ shape: [2, 48], blockSize: 64, nested: { offset: 0.5, blockSize: 256 } });
});

describe('records and tensors that contradict each other', () => {
  const cases: Record<string, [Promise<unknown>, string]> = {
    'shape of another weight': [handmade({ shape: [2, 64] }), 'w holds 48 bytes, needs 64 for codes of [2,64]'],
    'quant type': [handmade({ quant_type: 'int8' }), 'quant_type is "int8"; supported are nf4, fp4'],
    'record of another type': [handmade({}, {}, 'fp4'), 'says quant_type nf4'],
    'block size': [handmade({ blocksize: 48 }), 'blocksize is 48; supported are 32, 64'],
    'block size of other blocks': [handmade({ blocksize: 32 }), 'w.absmax holds 2 bytes, needs 3'],
    dtype: [handmade({ dtype: 'int8' }), 'dtype is "int8"; supported are float32, float16, bfloat16'],
    'shape of another kind': [handmade({ shape: 96 }), 'shape is 96, needs the sizes [out, in]'],
    'no offset': [handmade({ nested_offset: null }), 'nested_offset is null'],
    'nested dtype': [handmade({ nested_dtype: 'bfloat16' }), 'nested_dtype is "bfloat16"'],
    'absmax missing': [handmade({}, { 'w.absmax': null }), 'lacks w.absmax'],
    'plain absmax of bytes': [
      handmade({}, { 'w.nested_absmax': null, 'w.nested_quant_map': null }),
      'w.absmax is U8, needs F32',
    ],
    'half of a nesting': [handmade({}, { 'w.nested_quant_map': null }), 'has w.nested_absmax only'],
    'short code table': [handmade({}, { 'w.quant_map': ['F32', [15]] }), 'w.quant_map holds 60 bytes, needs 64'],
    'a companion nobody knows': [handmade({}, { 'w.zero_point': ['F32', [1]] }), 'is accompanied by w.zero_point'],
    'two records': [handmade({}, { 'w.quant_state.bitsandbytes__fp4': ['U8', [2]] }), 'has 2 quantization records'],
    'a record of an unknown type': [handmade({}, {}, 'x'), 'is called w.quant_state.bitsandbytes__x'],
  };
  for (const [name, [read, message]] of Object.entries(cases)) {
    const caught = rejection(read);
    test(name, async () => {
      expect(await caught).toBeInstanceOf(DataError);
      expect((await caught).message).toContain(message);
      expect((await caught).message).toContain('m/model.safetensors');
    });
  }
});
