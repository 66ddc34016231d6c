/** Random weights have the right shapes, spread and dtype, and are the same at every reading, in slabs of any size. */
import { describe, expect, test } from 'vitest';
import { readFloats } from '../../src/formats/checkpoint.ts';
import { parseModelConfig } from '../../src/formats/hf-config.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { checkWeights } from '../../src/model/check-weights.ts';
import { parametersOf } from '../../src/model/modules.ts';
import { openWeights } from '../../src/model/random-weights.ts';

const config = parseModelConfig({
  architectures: ['LlamaForCausalLM'],
  vocab_size: 1000,
  hidden_size: 128,
  intermediate_size: 256,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  tie_word_embeddings: false,
});

const open = (settings: object) =>
  openWeights(memoryReader(new Map([['random_weights.json', JSON.stringify(settings)]])), config);

describe('random weights', () => {
  test('fit the model and have the spread that was asked for', async () => {
    const source = await open({ seed: 3, std: 0.02 });
    await checkWeights(config, source);
    expect(source.names().length).toBe(parametersOf(config).length);
    const norm = await readFloats(source, 'model.norm.weight');
    expect([...new Set(norm)]).toEqual([1]);
    const matrix = await readFloats(source, 'model.layers.1.mlp.down_proj.weight');
    const deviation = Math.sqrt(matrix.reduce((sum, v) => sum + v * v, 0) / matrix.length);
    expect(deviation / 0.02).toBeCloseTo(1, 1);
    const other = await readFloats(source, 'model.layers.0.mlp.down_proj.weight');
    expect(other.some((v, i) => v !== matrix[i])).toBe(true);
  });

  test('are the same in one piece, in slabs, and past the end of the pool', async () => {
    const source = await open({ seed: 3, std: 0.02 });
    const name = 'model.embed_tokens.weight';
    const { bytes } = source.info(name);
    const whole = new Uint8Array(bytes);
    await source.read(name, 0, whole);
    const parts = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += 1000)
      await source.read(name, at, parts.subarray(at, Math.min(at + 1000, bytes)));
    expect(parts).toEqual(whole);
    const pool = 2 * (2 ** 20 + 7);
    const [here, later] = [new Uint8Array(64), new Uint8Array(64)];
    await source.read(name, 10, here);
    await source.read(name, 10 + pool, later);
    expect(later).toEqual(here);
  });

  test('a directory without the file is a checkpoint; a file with an unusable seed or spread is refused', async () => {
    await expect(openWeights(memoryReader(new Map()), config)).rejects.toThrow('model.safetensors');
    await expect(open({ seed: 0.5, std: 1 })).rejects.toThrow('seed is 0.5, wanted a whole number');
    await expect(open({ seed: 0 })).rejects.toThrow('std is null, wanted a number above 0');
  });
});
