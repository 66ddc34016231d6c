/** Quantized checkpoints that contradict themselves or config.json are refused before a run begins, tensor named. */
import { describe, expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { readBnb4bit } from '../../src/formats/bnb4bit.ts';
import { openCheckpoint, type TensorSource } from '../../src/formats/checkpoint.ts';
import { parseModelConfig } from '../../src/formats/hf-config.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { type TensorToWrite, writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { checkWeights } from '../../src/model/check-weights.ts';
import { prequantizedState } from '../../src/model/prequantized.ts';
import { nodeReader } from '../../src/node/files.ts';
import { rejection } from '../formats/files.ts';

const BASE = nodeReader(new URL('../golden/peft-steps/qlora/base', import.meta.url).pathname);
const WEIGHT = 'model.layers.1.self_attn.k_proj.weight';
const RECORD = `${WEIGHT}.quant_state.bitsandbytes__nf4`;

type Change = (tensor: TensorToWrite, bytes: Uint8Array<ArrayBuffer>) => TensorToWrite | null;

/** Copies the golden base with every tensor passed through `change`, and adds `more`. */
async function changed(change: Change, more: readonly TensorToWrite[] = []): Promise<TensorSource> {
  const source = await openCheckpoint(BASE);
  const tensors: TensorToWrite[] = [...more];
  for (const name of source.names()) {
    const { dtype, shape, bytes } = source.info(name);
    const own = new Uint8Array(bytes);
    await source.read(name, 0, own);
    const tensor = change({ name, dtype, shape, data: () => [own] }, own);
    if (tensor !== null) tensors.push(tensor);
  }
  const files = new Map<string, Uint8Array | string>();
  await writeSafetensors(memoryWriter(files), 'model.safetensors', tensors);
  return openCheckpoint(memoryReader(files, 'base'));
}

/** Changes one tensor in place. */
function inPlace(name: string, edit: (bytes: Uint8Array<ArrayBuffer>) => void): Change {
  return (tensor, bytes) => {
    if (tensor.name === name) edit(bytes);
    return tensor;
  };
}

/** Replaces some fields of the record. */
function record(fields: object): Change {
  return (tensor, bytes) => {
    if (tensor.name !== RECORD) return tensor;
    const json = { ...(JSON.parse(Buffer.from(bytes).toString()) as object), ...fields };
    const own = new TextEncoder().encode(JSON.stringify(json));
    return { ...tensor, shape: [own.byteLength], data: () => [own] };
  };
}

async function configOf(changes: object = {}) {
  return parseModelConfig({ ...(JSON.parse(await BASE.readText('config.json')) as object), ...changes });
}

test('the base as it is passes', async () => {
  const source = await changed((tensor) => tensor);
  await checkWeights(await configOf(), source);
  const stored = await readBnb4bit(source, WEIGHT);
  expect(await prequantizedState(source, WEIGHT, stored!)).toMatchObject({ nested: true, packedBytes: 1024 });
});

describe('before a run begins', () => {
  const alone: TensorToWrite = {
    name: `${WEIGHT}.zero_point`,
    dtype: 'U8',
    shape: [1],
    data: () => [new Uint8Array(1)],
  };
  const keep: Change = (tensor) => tensor;
  const without =
    (name: string): Change =>
    (tensor) =>
      tensor.name === name ? null : tensor;
  const cases: [string, Change, TensorToWrite[], object, string][] = [
    [
      'config.json of another model',
      keep,
      [],
      { num_key_value_heads: 4 },
      'k_proj.weight was quantized from (32, 64), config.json wants (64, 64): they belong to different models',
    ],
    [
      'the record of another shape',
      record({ shape: [64, 64] }),
      [],
      {},
      `${WEIGHT} holds 1024 bytes, needs 2048 for codes of [64,64]`,
    ],
    [
      'a transposed record',
      record({ shape: [64, 32] }),
      [],
      {},
      'was quantized from (64, 32), config.json wants (32, 64)',
    ],
    ['the record of another block size', record({ blocksize: 128 }), [], {}, 'absmax holds 32 bytes, needs 16'],
    ['another quant type than its name', record({ quant_type: 'fp4' }), [], {}, 'says quant_type fp4'],
    ['a missing absmax', without(`${WEIGHT}.absmax`), [], {}, `lacks ${WEIGHT}.absmax`],
    ['a missing quant_map', without(`${WEIGHT}.quant_map`), [], {}, `lacks ${WEIGHT}.quant_map`],
    ['half of the nesting missing', without(`${WEIGHT}.nested_absmax`), [], {}, `has ${WEIGHT}.nested_quant_map only`],
    ['a missing record', without(RECORD), [], {}, 'is (1024, 1), needs (32, 64)'],
    ['a companion nobody knows', keep, [alone], {}, `is accompanied by ${WEIGHT}.zero_point`],
    ['an offset that is no number', record({ nested_offset: 'x' }), [], {}, 'nested_offset is "x"'],
  ];
  test.each(cases)('%s', async (_, change, more, config, message) => {
    const source = await changed(change, more);
    const error = await rejection(checkWeights(await configOf(config), source));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain('base/model.safetensors');
    expect(error.message.replaceAll('"', '')).toContain(message.replaceAll('"', ''));
  });
});

const WANTED = 'needs 256 finite values in ascending order';

/** Replaces one value of the map of absmax codes. */
function map(at: number, value: number): Change {
  return inPlace(`${WEIGHT}.nested_quant_map`, (bytes) => new DataView(bytes.buffer).setFloat32(4 * at, value, true));
}

describe('codes that our kernels do not have', () => {
  const cases: [string, Change, string][] = [
    [
      'another 4-bit table',
      inPlace(`${WEIGHT}.quant_map`, (bytes) => bytes.set([1], 0)),
      'its quant_map is not the nf4 code of bitsandbytes',
    ],
    ['a map with a NaN', map(0, Number.NaN), `its nested_quant_map has NaN at 0, ${WANTED}`],
    [
      'a map with an infinity',
      map(255, Number.POSITIVE_INFINITY),
      `its nested_quant_map has Infinity at 255, ${WANTED}`,
    ],
    ['a map that falls', map(100, 0.5), `its nested_quant_map has -0.006906250026077032 at 101, ${WANTED}`],
    ['a map with a value twice', map(128, 0), `its nested_quant_map has 0 at 128, ${WANTED}`],
    ['other nested blocks', record({ nested_blocksize: 128 }), 'nested_blocksize is 128, only 256 is supported'],
  ];
  test.each(cases)('%s', async (_, change, message) => {
    const source = await changed(change);
    const error = await rejection(checkWeights(await configOf(), source));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain(`base/model.safetensors: ${WEIGHT}: ${message}: quantize the 16-bit model again`);
  });
});

describe('scales that no quantizer writes', () => {
  const floatAt = (index: number, value: number) => (bytes: Uint8Array) =>
    new DataView(bytes.buffer, bytes.byteOffset).setFloat32(4 * index, value, true);
  const cases: [string, Change, string][] = [
    ['a nested scale that is NaN', inPlace(`${WEIGHT}.nested_absmax`, floatAt(0, NaN)), 'scale 0 of 1 is NaN'],
    ['an infinite one', inPlace(`${WEIGHT}.nested_absmax`, floatAt(0, Infinity)), 'scale 0 of 1 is Infinity'],
    ['a negative one', inPlace(`${WEIGHT}.nested_absmax`, floatAt(0, -0.25)), 'scale 0 of 1 is -0.25'],
    [
      'a mean that is negative',
      record({ nested_offset: -1 }),
      'nested_offset is -1, needs a finite number of at least 0',
    ],
    ['a mean beyond f32', record({ nested_offset: 1e40 }), 'nested_offset is 1e+40, needs a finite'],
    ['a mean that is too small for its codes', record({ nested_offset: 0 }), `${WEIGHT}.absmax: scale `],
  ];
  test.each(cases)('%s', async (_, change, message) => {
    const source = await changed(change);
    const load = async () => prequantizedState(source, WEIGHT, (await readBnb4bit(source, WEIGHT))!);
    const error = await rejection(load());
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain(message);
  });

  test.each([NaN, Infinity, -0.5])('absmax of one level: %d', async (value) => {
    const plain = nodeReader(new URL('../golden/formats/bnb-fp4-plain-storage', import.meta.url).pathname);
    const checkpoint = await openCheckpoint(plain);
    const weight = checkpoint.names().find((name) => checkpoint.has(`${name}.absmax`)) as string;
    const source: TensorSource = {
      ...checkpoint,
      read: async (name, byteOffset, into) => {
        await checkpoint.read(name, byteOffset, into);
        if (name === `${weight}.absmax`) floatAt(1, value)(into);
      },
    };
    const stored = (await readBnb4bit(source, weight))!;
    expect(stored.nested).toBeUndefined();
    const error = await rejection(prequantizedState(source, weight, stored));
    expect(error.message).toMatch(
      new RegExp(`${weight}\\.absmax: scale 1 of \\d+ is ${value}; scales of a quantized weight`),
    );
  });
});
