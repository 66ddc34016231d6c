/**
 * Fresh adapters from a seed equal PEFT's: every initialisation, DoRA's magnitudes, the rounding of a bf16 or 4-bit
 * base.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openAdapter } from '../../src/adapters/files.ts';
import { adapterTensors } from '../../src/adapters/layout.ts';
import type { TrainConfig } from '../../src/config/settings.ts';
import { readFloats } from '../../src/formats/checkpoint.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { nodeReader } from '../../src/node/files.ts';
import { saveTrainedAdapter } from '../../src/train/save.ts';
import { expectClose, expectSameBits } from '../ref/compare.ts';
import { GOLDEN, openEngine } from './open.ts';

const DIRECTORY = path.join(GOLDEN, 'peft-options');
type Start = {
  base: string;
  seed: number;
  options: { target_modules: string[] } & Partial<TrainConfig>;
  /** Requested compute dtype of a base that is quantized as it is loaded. */
  bnb_4bit_compute_dtype?: TrainConfig['requested_compute_dtype'];
};
const golden = JSON.parse(readFileSync(path.join(DIRECTORY, 'initial.json'), 'utf8')) as Record<string, Start>;

/** Vectorised log, sin and cos in torch's normals differ from JavaScript's by some 1e-7 of the radius. */
const NORMALS = { rtol: 1e-6, atol: 1e-6 };
/** Norms are sums of 32 or 48 squares in f32, in another order. */
const NORMS = { rtol: 5e-7, atol: 0 };

test('the golden file has the starts it was made for', () => {
  const dense = ['true', 'false', 'gaussian', 'dora', 'dora-false', 'dora-bf16'];
  const others = ['lora-bias', 'lora-bias-false', 'tokens-bf16'];
  expect(Object.keys(golden)).toEqual([...dense, '4bit-bfloat16', '4bit-float16', ...others]);
});

describe.each(Object.entries(golden))('%s', (name, { base, seed, options, bnb_4bit_compute_dtype: asked }) => {
  test('every tensor', async () => {
    const { target_modules, ...rest } = options;
    // computed in float32 all the same, as with bf16_as: float32
    const quantized = asked && { method: 'qlora', load_in_4bit: true, requested_compute_dtype: asked };
    const overrides = {
      ...rest,
      ...(quantized as Partial<TrainConfig>),
      seed,
      lora_r: 2,
      lora_alpha: 2,
      lora_target_modules: target_modules,
    };
    const shapes = { train: [{ B: 1, S: 4 }], evaluation: [] };
    const { engine, layout, source } = await openEngine(path.join(DIRECTORY, base), overrides, shapes);
    for await (const _ of engine.warmUp()); // runs every plan, and has to leave the adapter as it is
    const files = new Map<string, Uint8Array>();
    await saveTrainedAdapter(engine, layout, source, memoryWriter(files));
    engine.destroy();
    const theirs = await openAdapter(nodeReader(path.join(DIRECTORY, `initial-${name}`)), layout.base);
    const ours = await openAdapter(memoryReader(files), layout.base);
    const tensors = adapterTensors(theirs.layout);
    expect(adapterTensors(ours.layout)).toEqual(tensors);
    for (const { key } of tensors) {
      const [got, want] = [await readFloats(ours.source, key), await readFloats(theirs.source, key)];
      const drawn = name === 'gaussian' || key.includes('lora_embedding');
      if (key.endsWith('lora_magnitude_vector') && name !== 'dora-bf16') expectClose(key, got, want, NORMS);
      else if (drawn) expectClose(key, got, want, NORMALS);
      else expectSameBits(key, got, want);
    }
    expect(tensors.length).toBeGreaterThan(2);
  });
});
