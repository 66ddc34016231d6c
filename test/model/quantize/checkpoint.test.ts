/** Checkpoints that nibble quantizes equal those that transformers and bitsandbytes make of the same models. */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DataError } from '../../../src/errors.ts';
import { readBnb4bit } from '../../../src/formats/bnb4bit.ts';
import { openCheckpoint, readFloats, type TensorSource } from '../../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../../src/formats/hf-config.ts';
import { memoryReader, memoryWriter } from '../../../src/formats/memory.ts';
import type { FileReader } from '../../../src/formats/reader.ts';
import { writeSafetensors } from '../../../src/formats/safetensors-write.ts';
import { parametersOf } from '../../../src/model/modules.ts';
import { memoryStore, type SpoolStore } from '../../../src/model/quantize/spool.ts';
import { nodeReader } from '../../../src/node/files.ts';
import { narrow, quantize4bit } from '../../../src/wasm/buffers.ts';
import { goldenJson, rejection } from '../../formats/files.ts';
import { meanF32, quantize4, quantizeDynamic } from '../../ref/nf4.ts';
import { codec, expectSameBytes, weights } from '../../wasm/helpers.ts';
import { type Files, GOLDEN, quantizeInto, textOf } from './job.ts';

type Golden = {
  model: string;
  options: Record<string, string | string[]>;
  dtype: 'float32' | 'bfloat16' | null;
  sha256: string;
  config: string;
};
const golden = goldenJson<Golden[]>('../quantize/checkpoints.json');
const llama = (model: string) => nodeReader(`${GOLDEN}llama/${model}`);

function changesOf({ options, dtype }: Golden) {
  return {
    dtype,
    storage: (options.bnb_4bit_quant_storage ?? 'uint8') as 'uint8',
    computeDtype: (options.bnb_4bit_compute_dtype ?? 'float32') as 'float32',
    skipModules: (options.llm_int8_skip_modules ?? null) as string[] | null,
  };
}

test('the golden cases are all there', () => expect(golden.length).toBe(10));

test.each(golden)('$model $options $dtype: the file that transformers writes, byte for byte', async (case_) => {
  const files: Files = new Map();
  await quantizeInto(files, llama(case_.model), changesOf(case_));
  const sha256 = createHash('sha256')
    .update(files.get('model.safetensors') as Uint8Array)
    .digest('hex');
  expect(sha256).toBe(case_.sha256);
  // the sources were saved by the same transformers, so that the rest of config.json is the same as well
  expect(JSON.parse(textOf(files, 'config.json'))).toEqual(JSON.parse(case_.config));
  expect(textOf(files, 'generation_config.json')).toBe(await llama(case_.model).readText('generation_config.json'));
});

describe('what bitsandbytes on a CPU does not show', () => {
  test.each(['nf4', 'fp4'] as const)(
    '%s with double quantization follows the rules of the format',
    async (quantType) => {
      const files: Files = new Map();
      const { reader } = await quantizeInto(files, llama('untied-gqa-f32'), { quantType, doubleQuant: true });
      const [source, plain] = [await openCheckpoint(reader), await openCheckpoint(llama('untied-gqa-f32'))];
      let count = 0;
      for (const name of source.names()) {
        const stored = await readBnb4bit(source, name);
        if (stored === null) continue;
        count++;
        const want = quantize4(await readFloats(plain, name), quantType, 64);
        const offset = meanF32(want.absmax);
        const nested = quantizeDynamic(want.absmax, 256, offset);
        expect(stored.nested?.offset).toBe(offset);
        for (const [tensor, bytes] of [
          [name, want.packed],
          [`${name}.absmax`, nested.codes],
          [`${name}.nested_absmax`, new Uint8Array(nested.absmax.buffer)],
        ] as const) {
          const got = new Uint8Array(source.info(tensor).bytes);
          await source.read(tensor, 0, got);
          expectSameBytes(got, bytes);
        }
      }
      expect(count).toBe(14);
    },
  );
});

const ARCHITECTURES = readdirSync(`${GOLDEN}architectures`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

test('the architectures are all there', () => expect(ARCHITECTURES.length).toBeGreaterThanOrEqual(7));

test.each(ARCHITECTURES)('%s: what transformers quantizes is quantized, to the same codes', async (name) => {
  const saved = nodeReader(`${GOLDEN}architectures/${name}/bnb-4bit`);
  const { dtype } = JSON.parse(await saved.readText('config.json')) as { dtype: 'float32' };
  const theirs = await openCheckpoint(saved);
  const dense = nodeReader(`${GOLDEN}architectures/${name}/dense`);
  const { reader } = await quantizeInto(new Map(), dense, { doubleQuant: true, dtype });
  const ours = await openCheckpoint(reader);
  expect(ours.names()).toEqual(theirs.names());
  let nestedCodes = 0;
  let otherCodes = 0;
  for (const tensor of ours.names()) {
    // the record holds the offset, a mean whose last bits depend on the order of summation
    if (tensor.includes('.quant_state.')) continue;
    const [a, b] = await Promise.all([ours, theirs].map((source) => bytesOf(source, tensor)));
    if (tensor.endsWith('.absmax') && !tensor.endsWith('nested_absmax')) {
      nestedCodes += a!.length;
      otherCodes += a!.filter((code, i) => code !== b![i]).length;
    } else if (tensor.endsWith('.nested_absmax')) {
      const [x, y] = [a!, b!].map((raw) => new Float32Array(raw.slice().buffer));
      // an ulp, of a difference from another offset
      for (const [i, v] of x!.entries()) expect(Math.abs(v - y![i]!)).toBeLessThanOrEqual(2 ** -23 * y![i]!);
    } else expectSameBytes(a!, b!);
  }
  // bitsandbytes' CPU table is an approximation: 0.2 to 0.4 % of its nested codes are a neighbour of the nearest
  expect(otherCodes).toBeLessThanOrEqual(nestedCodes * 0.01);
  console.log(`${name}: ${otherCodes} of ${nestedCodes} nested codes are not those of bitsandbytes' CPU table`);
});

/** up_proj and down_proj of 40,001 x 64 weights: 10 MB of f32 each, three slabs; an embedding of half as many. */
async function wideModel() {
  const json = {
    architectures: ['LlamaForCausalLM'],
    vocab_size: 20_001,
    hidden_size: 64,
    intermediate_size: 40_001,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    num_key_value_heads: 1,
    tie_word_embeddings: true,
  };
  const files: Files = new Map<string, Uint8Array | string>([['config.json', JSON.stringify(json)]]);
  const shapes = parametersOf(await readModelConfig(memoryReader(files)));
  const elements = (shape: readonly number[]) => shape.reduce((n, size) => n * size, 1);
  const values = new Map(shapes.map(({ name, shape }, i) => [name, weights(elements(shape), i + 1)]));
  const tensors = shapes.map(({ name, shape }) => ({
    name,
    shape,
    dtype: 'F32' as const,
    data: () => [new Uint8Array(values.get(name)!.buffer)],
  }));
  await writeSafetensors(memoryWriter(files), 'model.safetensors', tensors);
  return { reader: memoryReader(files), values };
}

test('tensors of many slabs and chunks, converted on the way, over a slow disk that little waits for', async () => {
  const wide = await wideModel();
  const store = memoryStore();
  const under = { reads: 0, writes: 0, most: 0 };
  const slow: SpoolStore = {
    ...store,
    write: async (at, bytes) => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      under.writes++;
      return store.write(at, bytes);
    },
  };
  const read: FileReader['read'] = (...args) => {
    under.reads++;
    under.most = Math.max(under.most, under.reads - under.writes);
    return wide.reader.read(...args);
  };
  const settings = { dtype: 'bfloat16', doubleQuant: true } as const;
  const { reader } = await quantizeInto(new Map(), { ...wide.reader, read }, settings, { spool: slow });
  // the header's two reads, and a slab in each of two lanes: the third waits until the first is written
  expect(under.most).toBe(4);
  const source = await openCheckpoint(reader);
  const bf16 = (name: string) => narrow(codec, wide.values.get(name)!, 'bfloat16');
  expectSameBytes(await bytesOf(source, 'model.embed_tokens.weight'), bf16('model.embed_tokens.weight'));
  for (const module of ['gate_proj', 'up_proj', 'down_proj']) {
    const name = `model.layers.0.mlp.${module}.weight`;
    const spec = { quantType: 'nf4', blockSize: 64, doubleQuant: true } as const;
    const want = quantize4bit(codec, bf16(name), 'bfloat16', spec);
    expectSameBytes(await bytesOf(source, name), want.packed);
    if (!want.state.nested) throw new Error('expected a nested state');
    expectSameBytes(await bytesOf(source, `${name}.absmax`), want.state.codes);
    expect((await readBnb4bit(source, name))?.dtype).toBe('bfloat16');
  }
});

describe('shards', () => {
  test('files stay below the limit, the index says where each tensor is, and all of it is the same', async () => {
    const [whole, split]: [Files, Files] = [new Map(), new Map()];
    await quantizeInto(whole, llama('tied-mha-bf16'));
    const { result, reader } = await quantizeInto(split, llama('tied-mha-bf16'), {}, { maxShardBytes: 12_000 });
    expect(result.files.length).toBeGreaterThan(3);
    const index = JSON.parse(textOf(split, 'model.safetensors.index.json')) as {
      metadata: { total_size: number; total_parameters: number };
      weight_map: Record<string, string>;
    };
    const [one, many] = [await openCheckpoint(memoryReader(whole)), await openCheckpoint(reader)];
    expect(many.names()).toEqual(one.names());
    expect(Object.keys(index.weight_map)).toEqual(one.names());
    let total = 0;
    const bytesIn = new Map<string, number>();
    for (const name of one.names()) {
      const { bytes } = one.info(name);
      total += bytes;
      const file = index.weight_map[name] as string;
      bytesIn.set(file, (bytesIn.get(file) ?? 0) + bytes);
      const [a, b] = [new Uint8Array(bytes), new Uint8Array(bytes)];
      await one.read(name, 0, a);
      await many.read(name, 0, b);
      expectSameBytes(a, b);
    }
    expect(index.metadata.total_size).toBe(total);
    // 163 x 64 embedding, tied; two layers of 4 x 96 x 64 and 3 x 144 x 64, five norms of 64
    expect(index.metadata.total_parameters).toBe(163 * 64 + 2 * (4 * 96 * 64 + 3 * 144 * 64) + 5 * 64);
    // the embedding alone is larger than the limit and has a file to itself
    const oversized = [...bytesIn].filter(([, bytes]) => bytes > 12_000);
    expect(oversized).toEqual([[index.weight_map['model.embed_tokens.weight'], 163 * 64 * 2]]);
    const last = [...split.keys()].at(-1);
    expect(last).toBe('config.json');
  });

  test('one that fits exactly is not split', async () => {
    const files: Files = new Map();
    const { reader } = await quantizeInto(files, llama('tied-mha-bf16'));
    const source = await openCheckpoint(reader);
    const total = source.names().reduce((sum, name) => sum + source.info(name).bytes, 0);
    const exact = await quantizeInto(new Map(), llama('tied-mha-bf16'), {}, { maxShardBytes: total });
    expect(exact.result.files).toEqual(['model.safetensors']);
    const less = await quantizeInto(new Map(), llama('tied-mha-bf16'), {}, { maxShardBytes: total - 1 });
    expect(less.result.files).toEqual(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']);
  });
});

test('every weight is reported once in each phase', async () => {
  const { told, layout } = await quantizeInto(new Map(), llama('llama3-rope-f16'));
  expect(told.filter((line) => line.startsWith('quantize')).length).toBe(7);
  const written = told.filter((line) => line.startsWith('write')).sort();
  expect(written).toEqual(layout.tensors.map(({ name }) => `write ${name}`).sort());
});

async function bytesOf(source: TensorSource, name: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.info(name).bytes);
  await source.read(name, 0, bytes);
  return bytes;
}

describe('endings', () => {
  /** Copies the model with one tensor's bytes replaced from `at` on. */
  async function damaged(model: string, tensor: string, at: number, bytes: number[]) {
    const reader = llama(model);
    const source = await openCheckpoint(reader);
    const { file, offset } = source.info(tensor);
    const content = new Uint8Array(await reader.size(file));
    await reader.read(file, 0, content);
    content.set(bytes, offset + at);
    const files: Files = new Map<string, Uint8Array | string>([
      [file, content],
      ['config.json', await reader.readText('config.json')],
    ]);
    return memoryReader(files, 'broken');
  }

  test.each<[string, number[], string]>([
    ['model.layers.0.mlp.up_proj.weight', [0x80, 0x7f], 'element 5 of 9216 (bfloat16) is Infinity'],
    ['model.layers.1.post_attention_layernorm.weight', [0xc0, 0x7f], 'element 5 is not finite'],
    ['model.embed_tokens.weight', [0x80, 0xff], 'element 5 is not finite'],
  ])('%s that is not finite: named, and no config.json', async (tensor, bytes, message) => {
    const files: Files = new Map();
    const error = await rejection(quantizeInto(files, await damaged('tied-mha-bf16', tensor, 10, bytes)));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain('broken/model.safetensors');
    expect(error.message).toContain(tensor);
    expect(error.message).toContain(message);
    expect([...files.keys()]).toEqual([]);
  });

  test('a weight that overflows float16 is refused, and the message says so', async () => {
    // 1e5 in bf16
    const reader = await damaged('tied-mha-bf16', 'model.norm.weight', 0, [0xc3, 0x47]);
    const error = await rejection(quantizeInto(new Map(), reader, { dtype: 'float16' }));
    expect(error.message).toContain('model.norm.weight: element 0 is not finite as float16');
    expect(error.message).toContain('too large for float16');
  });

  test('a full disk under the spool ends it, whichever write meets it', async () => {
    // packed codes and scales of 14 weights are 28 writes; the last number is never reached
    for (let failing = 1; failing <= 29; failing++) {
      const store = memoryStore();
      let writes = 0;
      const full: SpoolStore = {
        ...store,
        write: (at, bytes) =>
          ++writes === failing ? Promise.reject(new DataError('spool', 'ENOSPC')) : store.write(at, bytes),
      };
      const files: Files = new Map();
      const run = quantizeInto(files, llama('untied-gqa-f32'), {}, { spool: full });
      if (failing === 29) await run;
      else expect((await rejection(run)).message).toBe('spool: ENOSPC');
      expect(files.has('config.json')).toBe(failing === 29);
    }
  });

  test.each(['quantize', 'write'])('an abort is met at the next weight or file (%s)', async (phase) => {
    const controller = new AbortController();
    const files: Files = new Map();
    const told: string[] = [];
    const onTensor = (now: string) => {
      told.push(now);
      if (now === phase) controller.abort(new Error('enough'));
    };
    const job = { signal: controller.signal, onTensor, maxShardBytes: 12_000 };
    const error = await rejection(quantizeInto(files, llama('tied-mha-bf16'), {}, job));
    expect(error.message).toBe('enough');
    expect(files.has('config.json')).toBe(false);
    expect(told.filter((now) => now === phase).length).toBe(1);
  });
});
