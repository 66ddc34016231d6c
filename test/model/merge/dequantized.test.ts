/** A 4-bit checkpoint read as one of ordinary weights: the same values, whatever parts of it are asked for. */
import { expect, test } from 'vitest';
import { openCheckpoint } from '../../../src/formats/checkpoint.ts';
import { dequantizedSource } from '../../../src/model/merge/dequantized.ts';
import { loadWasmModule } from '../../../src/node/codec.ts';
import { nodeReader } from '../../../src/node/files.ts';
import { Codec } from '../../../src/wasm/codec.ts';

const codec = new Codec(await loadWasmModule());
const source = await openCheckpoint(
  nodeReader(new URL('../../golden/peft-steps/qlora/base', import.meta.url).pathname),
);
const WEIGHT = 'model.layers.1.self_attn.k_proj.weight';

test.each(['recorded', 'float32'] as const)('parts of a weight, %s, are those of the whole', async (as) => {
  const view = await dequantizedSource(source, codec, as);
  const { bytes, shape } = view.info(WEIGHT);
  const size = bytes / shape.reduce((product, n) => product * n, 1);
  const whole = new Uint8Array(bytes);
  await view.read(WEIGHT, 0, whole);
  expect(new Set(whole).size).toBeGreaterThan(20);
  // within a block, from a later block on, across three blocks, the last element
  for (const [first, count] of [
    [3, 5],
    [70, 10],
    [200, 130],
    [bytes / size - 1, 1],
  ] as const) {
    const part = new Uint8Array(count * size);
    await view.read(WEIGHT, first * size, part);
    expect(part, `from ${first}`).toEqual(whole.slice(first * size, (first + count) * size));
  }
});

test('what belongs to a quantized weight is no tensor of the view; norms and embeddings are as they are', async () => {
  const view = await dequantizedSource(source, codec, 'recorded');
  expect(view.names().filter((name) => name.startsWith(`${WEIGHT}.`))).toEqual([]);
  expect(view.has(WEIGHT)).toBe(true);
  expect(view.info('model.norm.weight')).toEqual(source.info('model.norm.weight'));
});
