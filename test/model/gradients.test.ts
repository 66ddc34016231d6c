/** The gradients of every trainable tensor of two small models against finite differences of an f64 forward. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint, readFloats } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { nodeReader } from '../../src/formats/node.ts';
import { random } from '../ref/compare.ts';
import { llamaLossRef } from '../ref/llama.ts';
import { GOLDEN, openModel } from './open.ts';

/** Truncation (h^2) and cancellation (1e-16 / h) both stay near 1e-10. */
const STEP = 1e-5;

/** Every element of a norm, 50 and more of a matrix; odd, so that all columns and rows get their turn. */
const strideOf = (length: number) => (length <= 64 ? 1 : Math.floor(length / 128) * 2 + 1);

// untied with grouped queries; tied, two layers: the embedding's gradient has two writers
describe.each(['llama-untied-f32', 'llama-tied-f16'])('%s, full training', (name) => {
  test('gradients of every tensor', async () => {
    const directory = path.join(GOLDEN, 'formats', name);
    const [B, S] = [2, 5];
    const ids = Uint32Array.from(random(1).integers(B * S, 32));
    // a token that comes twice, and positions that do not count
    ids[7] = ids[1] as number;
    const labels = Int32Array.from(random(2).integers(B * S, 32)).fill(-100, 3, 5);

    const open = await openModel(directory, { config: { method: 'full' }, shape: { B, S } });
    const losses = await open.run('train', ids, labels);
    const gradients = await open.gradients();
    open.destroy();

    const reader = nodeReader(directory);
    const [config, source] = [await readModelConfig(reader), await openCheckpoint(reader)];
    const weights = new Map<string, Float64Array>();
    for (const tensor of source.names()) weights.set(tensor, Float64Array.from(await readFloats(source, tensor)));
    const loss = () => llamaLossRef(config, weights, B, S, ids, labels);
    const mean = losses.reduce((sum, l) => sum + l, 0) / 8;
    // sums of at most 32 f32 terms
    expect(Math.abs(mean - loss()) / mean).toBeLessThan(1e-6);

    expect([...gradients.keys()].sort()).toEqual([...weights.keys()].sort());
    let [worst, checked] = [0, 0];
    for (const [tensor, values] of weights) {
      const got = gradients.get(tensor) as Float32Array;
      expect(got.length, tensor).toBe(values.length);
      const largest = got.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      expect(largest, tensor).toBeGreaterThan(1e-4);
      const stride = strideOf(values.length);
      for (let i = 0; i < values.length; i += stride) {
        const kept = values[i] as number;
        values[i] = kept + STEP;
        const above = loss();
        values[i] = kept - STEP;
        const below = loss();
        values[i] = kept;
        const want = (above - below) / (2 * STEP);
        const error = Math.abs((got[i] as number) - want) / largest;
        worst = Math.max(worst, error);
        checked++;
        // f32 sums through the whole network; the differences themselves are good to 1e-9
        if (!(error <= 5e-6)) throw new Error(`${tensor}[${i}]: got ${got[i]}, want ${want}, largest ${largest}`);
      }
    }
    expect(checked).toBeGreaterThan(16 * weights.size);
    console.log(`${name}: gradients within ${worst.toExponential(1)} of the largest of their tensor`);
  });
});
