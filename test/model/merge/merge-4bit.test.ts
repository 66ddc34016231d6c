/** A base in 4 bits, merged and quantized again, against PEFT's merge_and_unload: test/golden/merge-4bit. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { checkMergeSettings } from '../../../src/config/merge.ts';
import { openCheckpoint, openSafetensors, type TensorSource } from '../../../src/formats/checkpoint.ts';
import { nodeReader } from '../../../src/node/files.ts';
import { mergeFolder } from '../../../src/node/merge.ts';
import { GOLDEN } from '../open.ts';

const BASE = `${GOLDEN}peft-steps/qlora/base`;
const STATE = '.quant_state.bitsandbytes__nf4';
const WEIGHTS = 14;
const root = mkdtempSync(path.join(tmpdir(), 'nibble-merge-4bit-'));
afterAll(() => rmSync(root, { recursive: true }));

async function bytesOf(source: TensorSource, name: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.info(name).bytes);
  await source.read(name, 0, bytes);
  return bytes;
}

test.each([
  ['lora', `${GOLDEN}peft-steps/qlora/adapter-final`],
  ['dora', `${GOLDEN}peft-options/qlora-dora`],
])(
  "the codes of a merged %s are PEFT's, byte for byte, and its scales within two codes of theirs",
  async (name, adapter) => {
    const out = path.join(root, name);
    const names = { model: 'model', adapter: 'adapter', out: 'out' };
    await mergeFolder({ model: BASE, adapter, out, names, config: checkMergeSettings({}, () => '') }, {});
    const got = await openCheckpoint(nodeReader(out));
    const want = await openSafetensors(nodeReader(`${GOLDEN}merge-4bit`), `${name}.safetensors`);
    const weights = want.names().filter((key) => key.endsWith('.weight'));
    expect(weights).toHaveLength(WEIGHTS);
    let moved = 0;
    for (const weight of weights) {
      expect(Buffer.compare(await bytesOf(got, weight), await bytesOf(want, weight)), weight).toBe(0);
      const [ours, theirs] = await Promise.all([got, want].map((source) => bytesOf(source, `${weight}.absmax`)));
      // bitsandbytes on a CPU does not always take the nearest code of a scale (docs/fidelity.md)
      ours?.forEach((code, i) => {
        const distance = Math.abs(code - (theirs?.[i] as number));
        expect(distance, `${weight}, scale ${i}`).toBeLessThanOrEqual(2);
        moved += distance;
      });
      const states = await Promise.all([got, want].map((source) => bytesOf(source, `${weight}${STATE}`)));
      const [state, wanted] = states.map((text) => JSON.parse(new TextDecoder().decode(text)));
      const { nested_offset, ...rest } = state;
      const { nested_offset: mean, ...others } = wanted;
      expect(rest).toEqual(others);
      // the mean of the scales, whose sum torch takes in another order
      expect(Math.abs(nested_offset / mean - 1)).toBeLessThan(5e-7);
    }
    // of 2,304 scales; with another mean some fall on the other side of a border between two codes
    expect(moved).toBeLessThanOrEqual(8);
  },
);
