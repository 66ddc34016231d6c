import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DataError, KernelCallError } from '../../src/errors.ts';
import { DTYPE_BYTES, elementCount } from '../../src/formats/dtype.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { MAX_HEADER_BYTES, readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { type TensorToWrite, writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { goldenBytes, rejection, safetensorsFile } from './files.ts';

const read = (file: Uint8Array) => readSafetensorsHeader(memoryReader(new Map([['x', file]]), 'dir'), 'x');
const f32 = (shape: number[], begin: number, end: number) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });
const VALID = {
  __metadata__: { format: 'pt' },
  a: f32([2, 2], 0, 16),
  b: { dtype: 'BF16', shape: [3], data_offsets: [16, 22] },
};

test('a valid header gives dtype, shape, length and place of every tensor', async () => {
  const file = safetensorsFile(VALID, 22);
  const { tensors, metadata } = await read(file);
  expect(metadata).toEqual({ format: 'pt' });
  const start = file.byteLength - 22;
  expect([...tensors.values()]).toEqual([
    { name: 'a', dtype: 'F32', shape: [2, 2], bytes: 16, offset: start },
    { name: 'b', dtype: 'BF16', shape: [3], bytes: 6, offset: start + 16 },
  ]);
});

describe('a header that lies is one DataError that says how', () => {
  const length = (value: bigint) => {
    const file = safetensorsFile(VALID, 22);
    new DataView(file.buffer).setBigUint64(0, value, true);
    return file;
  };
  const cases: Record<string, [Uint8Array, string]> = {
    'no length': [new Uint8Array(5), 'holds 5 bytes, needs at least 8'],
    'header beyond the file': [length(100_000n), 'announces a header that ends at byte 100008, the file ends at'],
    'header beyond the limit': [length(2n ** 63n), `the limit is ${MAX_HEADER_BYTES}`],
    'not JSON': [safetensorsFile('{"a":', 0), 'is not JSON'],
    'not UTF-8': [safetensorsFile(VALID, 22).map((byte, i) => (i === 12 ? 0xff : byte)), 'is not UTF-8'],
    'not an object': [safetensorsFile([1], 0), 'holds [1], needs a JSON object'],
    'metadata of numbers': [safetensorsFile({ __metadata__: { a: 1 } }, 0), '__metadata__ is {"a":1}'],
    'entry of another kind': [safetensorsFile({ a: 7 }, 0), 'tensor "a": its header entry is 7'],
    'unknown dtype': [
      safetensorsFile({ a: { dtype: 'F4', shape: [2], data_offsets: [0, 1] } }, 1),
      'dtype "F4" is not known; known are U64, ',
    ],
    'dtype named like a method': [
      safetensorsFile({ a: { dtype: 'toString', shape: [0], data_offsets: [0, 0] } }, 0),
      'dtype "toString" is not known',
    ],
    'negative size': [safetensorsFile({ a: f32([-1], 0, 4) }, 4), 'shape is [-1], needs a list of sizes'],
    'shape of strings': [
      safetensorsFile({ a: { dtype: 'F32', shape: ['1'], data_offsets: [0, 4] } }, 4),
      'shape is ["1"]',
    ],
    'one offset': [
      safetensorsFile({ a: { dtype: 'F32', shape: [1], data_offsets: [0] } }, 4),
      'data_offsets is [0], needs [begin, end]',
    ],
    'begin after end': [safetensorsFile({ a: f32([1], 4, 0) }, 4), 'data_offsets [4, 0] end before they begin'],
    'size is not dtype * shape': [
      safetensorsFile({ a: f32([3], 0, 8) }, 8),
      'data_offsets span 8 bytes, F32 [3] needs 12',
    ],
    'shape whose product overflows': [
      safetensorsFile({ a: f32([2 ** 40, 2 ** 40], 0, 8) }, 8),
      'data_offsets span 8 bytes',
    ],
    'beyond the file': [safetensorsFile({ a: f32([3], 0, 12) }, 8), 'tensor "a" ends at byte 75, the file ends at 71'],
    hole: [
      safetensorsFile({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12),
      'tensor "b" begins at byte 124, needs 120: it leaves a hole',
    ],
    'hole at the start': [safetensorsFile({ a: f32([1], 4, 8) }, 8), 'leaves a hole'],
    overlap: [safetensorsFile({ a: f32([2], 0, 8), b: f32([1], 4, 8) }, 8), 'it overlaps the tensor before it'],
    'a tensor twice': [
      safetensorsFile(`{"a":${JSON.stringify(f32([1], 0, 4))},"a":${JSON.stringify(f32([1], 4, 8))}}`, 8),
      'its header has "a" twice',
    ],
    'a tensor twice, once in escapes': [
      safetensorsFile(`{"a":${JSON.stringify(f32([1], 0, 4))}, "\\u0061" : ${JSON.stringify(f32([1], 0, 4))}}`, 4),
      'its header has "a" twice',
    ],
    'a field of a tensor twice': [
      safetensorsFile('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"dtype":"I32"}}', 4),
      'its header has "dtype" twice',
    ],
    'metadata twice': [
      safetensorsFile(`{"__metadata__":{"x":"{\\"a\\":"},"a":${JSON.stringify(f32([1], 0, 4))},"__metadata__":{}}`, 4),
      'its header has "__metadata__" twice',
    ],
    'bytes nobody owns': [safetensorsFile({ a: f32([1], 0, 4) }, 9), 'Bytes no tensor owns'],
  };
  for (const [name, [file, message]] of Object.entries(cases)) {
    test(name, async () => {
      const error = await rejection(read(file));
      expect(error).toBeInstanceOf(DataError);
      expect(error.message).toContain('dir/x');
      expect(error.message).toContain(message);
    });
  }
});

test('a file cut at any byte is a DataError', async () => {
  const file = safetensorsFile(VALID, 22);
  for (let end = 0; end < file.byteLength; end++) {
    expect(await rejection(read(file.subarray(0, end))), `cut at ${end}`).toBeInstanceOf(DataError);
  }
});

test('random corruption is a DataError, or a header that still covers the file exactly', async () => {
  const valid = safetensorsFile({ ...VALID, c: { dtype: 'U8', shape: [], data_offsets: [22, 23] } }, 23);
  const dataStart = valid.byteLength - 23;
  const wanted = await read(valid);
  const change = fc.tuple(fc.nat(valid.byteLength - 1), fc.integer({ min: 0, max: 255 }));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const file = valid.slice();
      for (const [at, byte] of changes) file[at] = byte;
      let header: Awaited<ReturnType<typeof read>>;
      try {
        header = await read(file);
      } catch (error) {
        expect(error).toBeInstanceOf(DataError);
        return;
      }
      if (changes.every(([at]) => at >= dataStart)) expect(header).toEqual(wanted);
      let covered = 0;
      for (const { dtype, shape, bytes, offset } of header.tensors.values()) {
        expect(bytes).toBe(DTYPE_BYTES[dtype] * elementCount(shape));
        expect(offset + bytes).toBeLessThanOrEqual(file.byteLength);
        covered += bytes;
      }
      expect(covered).toBe(23);
    }),
    { numRuns: 3000, seed: 1 },
  );
});

describe('writing', () => {
  const bytes = (array: ArrayBufferView) => [new Uint8Array(array.buffer, array.byteOffset, array.byteLength)];
  const tensors: TensorToWrite[] = [
    { name: 'empty', dtype: 'F32', shape: [0, 4], data: () => [] },
    { name: 'b', dtype: 'F32', shape: [2, 3], data: () => bytes(Float32Array.of(0, 1, 2, 3, 4, 5)) },
    { name: 'half', dtype: 'F16', shape: [1, 1], data: () => bytes(Uint16Array.of(0x3800)) },
    { name: 'a', dtype: 'F32', shape: [2], data: () => bytes(Float32Array.of(1, 1)) },
    { name: 'scalar', dtype: 'I64', shape: [], data: () => bytes(BigInt64Array.of(7n)) },
    { name: 'bytes', dtype: 'U8', shape: [3], data: () => [Uint8Array.of(1), Uint8Array.of(2, 3)] },
    { name: 'brain', dtype: 'BF16', shape: [2], data: () => bytes(Uint16Array.of(0x3fc0, 0xc000)) },
  ];

  test('the file equals the reference writer byte for byte', async () => {
    const files = new Map<string, Uint8Array>();
    await writeSafetensors(memoryWriter(files), 'x', tensors);
    expect(files.get('x')).toEqual(goldenBytes('reference.safetensors'));
  });

  test('what was written is read back, whatever the names', async () => {
    const name = fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => text !== '__metadata__');
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(name, { maxLength: 8 }), async (names) => {
        const files = new Map<string, Uint8Array>();
        const written = names.map(
          (name, i): TensorToWrite => ({
            name,
            dtype: i % 2 ? 'U8' : 'F32',
            shape: [i],
            data: () => [new Uint8Array(i % 2 ? i : 4 * i)],
          }),
        );
        await writeSafetensors(memoryWriter(files), 'x', written);
        const { tensors: found } = await readSafetensorsHeader(memoryReader(files), 'x');
        expect([...found.keys()].sort()).toEqual([...names].sort());
        expect(found.values().next().value?.offset ?? 0).toSatisfy((offset: number) => offset % 8 === 0);
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  test('a tensor that yields another length is our bug, and nothing is written', async () => {
    const files = new Map<string, Uint8Array>();
    const short: TensorToWrite = { name: 'a', dtype: 'F32', shape: [2], data: () => [new Uint8Array(7)] };
    await expect(writeSafetensors(memoryWriter(files), 'x', [short])).rejects.toThrow(
      new KernelCallError('writeSafetensors', 'a yielded 7 bytes, needs 8'),
    );
    expect(files.size).toBe(0);
  });
});
