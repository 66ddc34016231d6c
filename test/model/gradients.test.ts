/** The gradients of every trainable tensor of small models against finite differences of an f64 forward. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint, readFloats } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { nodeReader } from '../../src/node/files.ts';
import { random } from '../ref/compare.ts';
import { type Batch, decoderLossRef } from '../ref/decoder.ts';
import { GOLDEN, openModel } from './open.ts';

/** Truncation (h^2) and cancellation (1e-16 / h) both stay near 1e-10. */
const STEP = 1e-5;

/**
 * What is trained, and how many elements of a matrix are looked at one by one. Untied with grouped queries; tied, two
 * layers: the embedding's gradient has two writers. The architectures are longer than their windows.
 */
const CASES = [
  ['formats/llama-untied-f32', [2, 5], 128],
  ['formats/llama-tied-f16', [2, 5], 128],
  ['architectures/llama-tied/dense', [1, 6], 12],
  ['architectures/llama-biased/dense', [1, 6], 12],
  ['architectures/mistral/dense', [1, 11], 6],
  ['architectures/qwen2/dense', [1, 11], 6],
  ['architectures/qwen3/dense', [1, 6], 12],
  ['architectures/gemma/dense', [1, 6], 12],
  ['architectures/phi3/dense', [1, 13], 6],
  ['architectures/smollm3/dense', [1, 6], 12],
  ['architectures/olmo2/dense', [1, 6], 12],
] as const;

/** Without rotation, a bias of k adds one number to all scores of a query, which softmax takes away: no gradient. */
const SHIFTS_SCORES = 'model.layers.1.self_attn.k_proj.bias';

/** Every element of a short tensor of a small model; odd, so that all columns and rows get their turn. */
const strideOf = (length: number, samples: number) =>
  length <= samples / 2 ? 1 : Math.floor(length / samples) * 2 + 1;

describe.each(CASES)('%s, full training', (name, [B, S], samples) => {
  test('gradients of every tensor', async () => {
    const directory = path.join(GOLDEN, name);
    const reader = nodeReader(directory);
    const [config, source] = [await readModelConfig(reader), await openCheckpoint(reader)];
    const ids = Uint32Array.from(random(1).integers(B * S, config.vocab_size));
    // a token that comes twice, and positions that do not count
    ids[B * S - 3] = ids[1] as number;
    const labels = Int32Array.from(random(2).integers(B * S, config.vocab_size)).fill(-100, 3, 5);

    const open = await openModel(directory, { config: { method: 'full' }, shape: { B, S } });
    const losses = await open.run('train', ids, labels);
    const gradients = await open.gradients();
    open.destroy();

    const weights = new Map<string, Float64Array>();
    for (const tensor of source.names()) weights.set(tensor, Float64Array.from(await readFloats(source, tensor)));
    const batch: Batch = { B, S, ids };
    const loss = () => decoderLossRef(config, weights, batch, labels);
    const mean = losses.reduce((sum, l) => sum + l, 0) / (B * S - 2);
    // sums of at most 144 f32 terms
    expect(Math.abs(mean - loss()) / mean).toBeLessThan(1e-6);

    expect([...gradients.keys()].sort()).toEqual([...weights.keys()].sort());
    const slope = (change: (by: number) => void) => {
      change(STEP);
      const above = loss();
      change(-2 * STEP);
      const below = loss();
      change(STEP);
      return (above - below) / (2 * STEP);
    };
    let [worst, checked] = [0, 0];
    for (const [tensor, values] of weights) {
      const got = gradients.get(tensor) as Float32Array;
      expect(got.length, tensor).toBe(values.length);
      const largest = got.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      if (config.no_rope_layers[1] === 0 && tensor === SHIFTS_SCORES) {
        expect(largest).toBeLessThan(1e-7);
        continue;
      }
      expect(largest, tensor).toBeGreaterThan(1e-4);
      const check = (what: string, reached: number, want: number, scale: number) => {
        const error = Math.abs(reached - want) / scale;
        worst = Math.max(worst, error);
        checked++;
        // f32 sums through the whole network; the differences themselves are good to 1e-9
        if (!(error <= 5e-6)) throw new Error(`${tensor}${what}: got ${reached}, want ${want}, scale ${scale}`);
      };
      for (let i = 0; i < values.length; i += strideOf(values.length, samples)) {
        const want = slope((by) => {
          values[i] = (values[i] as number) + by;
        });
        check(`[${i}]`, got[i] as number, want, largest);
      }
      // every element at once, along a direction of random signs: what the samples left out
      const signs = Float64Array.from(random(values.length).integers(values.length, 2), (bit) => 2 * bit - 1);
      const along = got.reduce((sum, v, i) => sum + v * (signs[i] as number), 0);
      const norm = Math.hypot(...got);
      const want = slope((by) => {
        for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + by * (signs[i] as number);
      });
      check(' along random signs', along, want, norm);
    }
    expect(checked).toBeGreaterThan(4 * weights.size);
    console.log(`${name}: gradients within ${worst.toExponential(1)} of the largest of their tensor`);
  });
});
