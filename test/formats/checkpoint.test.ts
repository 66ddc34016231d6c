import { describe, expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { INDEX_FILE, openCheckpoint, readFloats } from '../../src/formats/checkpoint.ts';
import { floatType, isTorchFloat, widenToF32 } from '../../src/formats/dtype.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { goldenDirectory, goldenJson, rejection, safetensorsFile } from './files.ts';

type Facts = Record<string, { dtype: string; shape: number[]; first: number[] }>;
const golden = goldenJson<Record<string, Facts>>('checkpoints.json');

test.each(Object.keys(golden))('%s, as transformers saved it: names, dtypes, shapes and first values', async (name) => {
  const wanted = golden[name]!;
  const source = await openCheckpoint(goldenDirectory(name));
  expect(source.names()).toEqual(Object.keys(wanted).sort());
  for (const [tensor, { dtype, shape, first }] of Object.entries(wanted)) {
    const info = source.info(tensor);
    expect(info.shape, tensor).toEqual(shape);
    expect(isTorchFloat(dtype) && floatType(dtype).safetensors, tensor).toBe(info.dtype);
    const values = await readFloats(source, tensor);
    expect(values.length).toBe(shape.reduce((n, size) => n * size, 1));
    expect([...values.subarray(0, 3)], tensor).toEqual(first);
  }
});

test('the three golden checkpoints are one tied, one untied and one in two shards', () => {
  const has = (name: string) => Object.keys(golden[name]!).includes('lm_head.weight');
  expect([has('llama-untied-f32'), has('llama-tied-f16'), has('llama-sharded-bf16')]).toEqual([true, false, true]);
});

const shard = safetensorsFile({ t: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }, 4);
const both = safetensorsFile(
  { t: { dtype: 'U8', shape: [4], data_offsets: [0, 4] }, v: { dtype: 'U8', shape: [1], data_offsets: [4, 5] } },
  5,
);
const sharded = (weightMap: unknown, extra: [string, Uint8Array | string][] = []) =>
  openCheckpoint(
    memoryReader(
      new Map([[INDEX_FILE, JSON.stringify({ weight_map: weightMap })], ['s.safetensors', shard], ...extra]),
      'm',
    ),
  );

test('bytes are read from inside the tensor only', async () => {
  const source = await sharded({ t: 's.safetensors' });
  const two = new Uint8Array(2);
  await source.read('t', 1, two);
  expect([...two]).toEqual([1, 2]);
  expect((await rejection(source.read('t', 3, two))).message).toBe(
    'm/s.safetensors: tensor "t": bytes 3 to 5 were asked for, it has 4.',
  );
});

test('a tensor that a shard holds and the index does not name is there as well', async () => {
  expect((await sharded({ v: 'both' }, [['both', both]])).names()).toEqual(['t', 'v']);
});

describe('a checkpoint that cannot be read says why', () => {
  const cases: Record<string, [Promise<unknown>, string]> = {
    'absent shard': [
      sharded({ t: 'other.safetensors' }),
      'names the shard other.safetensors, which is absent (1 tensors, "t" first)',
    ],
    'path above the directory': [
      sharded({ t: '../s.safetensors' }),
      'is "../s.safetensors", needs the name of a file inside',
    ],
    'absolute path': [sharded({ t: '/etc/passwd' }), 'needs the name of a file inside the model directory'],
    'Windows path': [sharded({ t: 'C:\\s.safetensors' }), 'needs the name of a file inside'],
    'the directory itself': [sharded({ t: '..' }), 'needs the name of a file inside'],
    'tensor its shard lacks': [
      sharded({ u: 's.safetensors' }),
      'says tensor "u" is in s.safetensors, which does not hold it',
    ],
    'a tensor in two shards': [
      sharded({ t: 's.safetensors', v: 'both' }, [['both', both]]),
      'm/model.safetensors.index.json: tensor "t" is in both and in s.safetensors',
    ],
    'a tensor twice in the index': [
      openCheckpoint(
        memoryReader(
          new Map<string, Uint8Array | string>([
            [INDEX_FILE, '{"weight_map": {"t": "both", "v": "both", "t": "s.safetensors"}}'],
            ['s.safetensors', shard],
            ['both', both],
          ]),
          'm',
        ),
      ),
      'm/model.safetensors.index.json: has "t" twice',
    ],
    'weight_map of another kind': [sharded([1]), 'weight_map is [1]'],
    'damaged shard': [sharded({ t: 'cut' }, [['cut', shard.subarray(0, -1)]]), 'm/cut: tensor "t" ends at byte'],
    'only a pickle': [
      openCheckpoint(memoryReader(new Map([['pytorch_model.bin', 'x']]), 'm')),
      'pytorch_model.bin is a pickle, which runs code when it is loaded and is refused',
    ],
    'nothing at all': [
      openCheckpoint(memoryReader(new Map(), 'm')),
      'holds neither model.safetensors nor model.safetensors.index.json',
    ],
  };
  for (const [name, [open, message]] of Object.entries(cases)) {
    const caught = rejection(open);
    test(name, async () => {
      expect(await caught).toBeInstanceOf(DataError);
      expect((await caught).message).toContain(message);
    });
  }
});

test('an absent tensor is named together with what is there', async () => {
  const source = await openCheckpoint(goldenDirectory('llama-tied-f16'));
  const error = await rejection(readFloats(source, 'model.layers.7.self_attn.q_proj.weight'));
  expect(error.message).toContain(
    'is absent from its 20 tensors (2 end in q_proj.weight, model.layers.0.self_attn.q_proj.weight first)',
  );
});

test('every f16 value widens to the number it stands for', () => {
  const bits = Uint16Array.of(0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x3c00, 0xbc01, 0x7bff, 0x7c00, 0xfc00, 0x7e00);
  const values = widenToF32(new Uint8Array(bits.buffer), 'F16');
  const want = [
    0,
    -0,
    2 ** -24,
    -1023 * 2 ** -24,
    2 ** -14,
    1,
    -(1 + 2 ** -10),
    65504,
    Infinity,
    -Infinity,
    Number.NaN,
  ];
  expect([...values]).toEqual(want);
});
