/** A tied model whose checkpoint has its matrix under the head's name, under both names, or as two that differ. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { estimateRun } from '../../src/estimate/estimate.ts';
import { openCheckpoint, readFloats, type TensorSource } from '../../src/formats/checkpoint.ts';
import { COMPARED_AT_ONCE } from '../../src/formats/compare-tensors.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { type TensorToWrite, writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { checkWeights } from '../../src/model/check-weights.ts';
import { withTiedHead } from '../../src/model/tied-head.ts';
import { nodeReader } from '../../src/node/files.ts';
import { rejection } from '../formats/files.ts';
import { device } from '../gpu/harness.ts';
import { ADAPTER, bytesOf, type Files, learnableRows, runTraining } from '../train/run.ts';
import { expectSameBytes } from '../wasm/helpers.ts';

const UNTIED = path.join(new URL('../golden/', import.meta.url).pathname, 'formats', 'llama-untied-f32');
const [EMBEDDING, HEAD] = ['model.embed_tokens.weight', 'lm_head.weight'];

/** Writes the untied golden as a tied model; `names` gives the names under which each tensor is written. */
async function tied(names: (name: string) => readonly string[]): Promise<Files> {
  const reader = nodeReader(UNTIED);
  const source = await openCheckpoint(reader);
  const tensors: TensorToWrite[] = [];
  for (const stored of source.names()) {
    const { shape } = source.info(stored);
    const values = await readFloats(source, stored);
    for (const name of names(stored))
      tensors.push({ name, dtype: 'F32', shape, data: () => [new Uint8Array(values.buffer)] });
  }
  const config = { ...JSON.parse(await reader.readText('config.json')), tie_word_embeddings: true };
  const files: Files = new Map([['config.json', JSON.stringify(config)]]);
  await writeSafetensors(memoryWriter(files), 'model.safetensors', tensors);
  return files;
}

const FORMS = {
  'the embedding alone': (name: string) => (name === HEAD ? [] : [name]),
  'an equal head beside it': (name: string) => (name === HEAD ? [] : name === EMBEDDING ? [name, HEAD] : [name]),
  'the head alone': (name: string) => (name === HEAD ? [] : name === EMBEDDING ? [HEAD] : [name]),
};

const METHODS = {
  lora: {},
  qlora: { method: 'qlora', load_in_4bit: true },
  full: { method: 'full' },
} as const;

describe.each(Object.keys(METHODS) as (keyof typeof METHODS)[])('%s', (method) => {
  test('one run, to the bit, whichever names the matrix has; its memory is the estimate', async () => {
    const output = method === 'full' ? 'model.safetensors' : ADAPTER;
    const runs = [];
    for (const names of Object.values(FORMS)) {
      const rows = new Map([['rows.jsonl', learnableRows(1, 8, 8, 32)]]);
      runs.push(await runTraining({ model: await tied(names), '.': rows }, METHODS[method]));
    }
    const [plain, ...others] = runs as [(typeof runs)[0], ...typeof runs];
    expect(plain.losses.length).toBe(3);
    expect(others.length).toBe(2);
    for (const { input, result, losses, files } of others) {
      expect(losses).toEqual(plain.losses);
      expectSameBytes(files.get(output) as Uint8Array, bytesOf(plain, output));
      const { layout, config, batches } = input;
      const estimate = estimateRun(layout, config, batches.shapes, device.profile, device.shaders);
      expect(estimate.byCategory).toEqual(result.ledger.peak.byCategory);
    }
  });
});

test('two that differ are refused before a run: no method, no adapter makes them one', async () => {
  const directories = { model: await tied((name) => [name]), '.': new Map([['rows.jsonl', '']]) };
  const error = await rejection(runTraining(directories, {}));
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toMatch(
    /^model\/model\.safetensors: lm_head\.weight differs from model\.embed_tokens\.weight: element 0 is -?0\.\d+, there it is -?0\.\d+, but config\.json says tie_word_embeddings is true/,
  );
  expect(error.message).toContain('Set tie_word_embeddings: false in config.json');
});

describe('what counts as equal', () => {
  const [V, C] = [1025, 1024];
  const config = async () => ({ ...(await readModelConfig(nodeReader(UNTIED))), tie_word_embeddings: true });

  /** Two matrices of more elements than are compared at once; the head as bfloat16 where asked. */
  async function pair(at: number, value: number, asBf16 = false, rows = V): Promise<TensorSource> {
    expect(V * C).toBeGreaterThan(COMPARED_AT_ONCE);
    const embedding = new Float32Array(V * C).fill(0.5);
    const head = new Float32Array(rows * C).fill(0.5);
    head[at] = value;
    const halves = Uint16Array.from(new Uint32Array(head.buffer), (word) => word >>> 16);
    const files: Files = new Map();
    await writeSafetensors(memoryWriter(files), 'model.safetensors', [
      { name: EMBEDDING, dtype: 'F32', shape: [V, C], data: () => [new Uint8Array(embedding.buffer)] },
      {
        name: HEAD,
        shape: [rows, C],
        ...(asBf16
          ? { dtype: 'BF16', data: () => [new Uint8Array(halves.buffer)] }
          : { dtype: 'F32', data: () => [new Uint8Array(head.buffer)] }),
      },
    ]);
    return openCheckpoint(memoryReader(files, 'm'));
  }

  test('the same values in another type', async () => {
    const seen = await withTiedHead(await config(), await pair(0, 0.5, true));
    expect(seen.names()).toEqual([EMBEDDING]);
    expect(seen.has(HEAD)).toBe(false);
  });

  test.each([0, COMPARED_AT_ONCE - 1, COMPARED_AT_ONCE, V * C - 1])('not with another element %i', async (at) => {
    const error = await rejection(withTiedHead(await config(), await pair(at, 0.25)));
    expect(error.message).toContain(`element ${at} is 0.25, there it is 0.5`);
  });

  test('not with NaN', async () => {
    const error = await rejection(withTiedHead(await config(), await pair(7, Number.NaN)));
    expect(error.message).toContain('element 7 is NaN, there it is 0.5');
  });

  test('not with another shape', async () => {
    const error = await rejection(withTiedHead(await config(), await pair(0, 0.5, false, V + 1)));
    expect(error.message).toContain(`${HEAD} is F32 (1026, 1024), ${EMBEDDING} is F32 (1025, 1024)`);
  });

  test('nothing is compared, nor left out, where config.json does not tie them', async () => {
    const source = await pair(0, 0.25);
    expect(await withTiedHead({ ...(await config()), tie_word_embeddings: false }, source)).toBe(source);
  });
});

test('with neither matrix the embedding is reported missing', async () => {
  const files = await tied((name) => (name === HEAD || name === EMBEDDING ? [] : [name]));
  const reader = memoryReader(files, 'model');
  const config = await readModelConfig(reader);
  const source = await withTiedHead(config, await openCheckpoint(reader));
  expect((await rejection(checkWeights(config, source))).message).toContain(`"${EMBEDDING}" is absent`);
});
