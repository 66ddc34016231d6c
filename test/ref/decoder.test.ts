/** The f64 decoder against the logits of transformers: the reference of our gradients is itself held against something else. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { openCheckpoint, readFloats } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { nodeReader } from '../../src/node/files.ts';
import type { Vec } from './compare.ts';
import { decoderLogitsRef } from './decoder.ts';

const ROOT = new URL('../golden/architectures/', import.meta.url).pathname;
const { input_ids } = JSON.parse(readFileSync(path.join(ROOT, 'tokens.json'), 'utf8')) as { input_ids: number[][] };

test.each(['llama', 'llama-tied', 'llama-biased', 'mistral', 'qwen2', 'qwen3', 'gemma', 'phi3', 'smollm3', 'olmo2'])(
  '%s',
  async (name) => {
    const reader = nodeReader(path.join(ROOT, name, 'dense'));
    const [config, source] = [await readModelConfig(reader), await openCheckpoint(reader)];
    const weights = new Map<string, Vec>();
    for (const tensor of source.names()) weights.set(tensor, await readFloats(source, tensor));
    const batch = { B: input_ids.length, S: input_ids[0]!.length, ids: input_ids.flat() };
    const got = decoderLogitsRef(config, weights, batch);
    const bytes = readFileSync(path.join(ROOT, name, 'logits-dense.bin'));
    const want = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    expect(got.length).toBe(want.length);
    const largest = want.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    // the f32 of torch: about 6e-7
    for (const [i, value] of want.entries()) {
      if (!(Math.abs(got[i]! - value) <= 2e-6 * largest)) throw new Error(`logits[${i}]: got ${got[i]}, want ${value}`);
    }
  },
);
