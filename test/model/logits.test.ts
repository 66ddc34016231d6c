/** Logits of three small models against transformers' (test/golden/llama), in both spellings of config.json. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { GOLDEN, openModel } from './open.ts';

// correct f32 code differs by about 6e-7 of max |logit|; the smallest planted bug (RMSNorm epsilon) by 8.4e-4
const TOLERANCE = 1e-5;

const MODELS = ['untied-gqa-f32', 'tied-mha-bf16', 'llama3-rope-f16'];

describe.each(MODELS)('%s', (name) => {
  const directory = path.join(GOLDEN, 'llama', name);
  const expected = JSON.parse(readFileSync(path.join(directory, 'expected.json'), 'utf8')) as {
    input_ids: number[][];
    logits: { shape: number[] };
    max_abs_logit: number;
  };
  const bytes = readFileSync(path.join(directory, 'logits.bin'));
  const want = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const [B, S] = expected.logits.shape as [number, number, number];

  test.each(['config.json', 'config-4x.json'])('logits by its %s', async (configFile) => {
    const open = await openModel(directory, { shape: { B, S }, configFile });
    const got = await open.logits(Uint32Array.from(expected.input_ids.flat()));
    open.destroy();
    expect(got.length).toBe(want.length);
    let worst = 0;
    want.forEach((value, i) => {
      const error = Math.abs((got[i] as number) - value);
      if (!(error <= TOLERANCE * expected.max_abs_logit))
        throw new Error(`logits[${i}]: got ${got[i]}, want ${value}, max |logit| ${expected.max_abs_logit}`);
      worst = Math.max(worst, error / expected.max_abs_logit);
    });
    console.log(`${name} by ${configFile}: within ${worst.toExponential(1)} of max |logit|`);
  });
});
