/** Every kind of adapter that PEFT made, all loaded over one base: each gives its own logits, and the base gives the base's. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GOLDEN, openModel } from '../model/open.ts';
import { openGeneration } from './open.ts';

const OPTIONS = `${GOLDEN}peft-options/`;
type Options = {
  readonly options: Record<string, { readonly base: string }>;
  readonly batches: { input_ids: number[][] }[];
};
const golden = JSON.parse(readFileSync(`${OPTIONS}options.json`, 'utf8')) as Options;
const kinds = (base: string) => Object.keys(golden.options).filter((name) => golden.options[name]?.base === base);
const rows = (golden.batches[0] as { input_ids: number[][] }).input_ids;

test.each([
  ['biased', `${OPTIONS}biased`],
  ['tied', `${OPTIONS}tied`],
  ['../peft-steps/qlora/base', `${GOLDEN}peft-steps/qlora/base`],
])('adapters of %s', async (base, directory) => {
  const names = kinds(base);
  expect(names.length).toBeGreaterThan(0);
  const length = (rows[0] as number[]).length;
  const engine = await openGeneration(directory, {
    adapters: names.map((name) => `${OPTIONS}${name}`),
    requests: rows.map(() => ({ prompt: length, maxNewTokens: 2 })),
    batchSize: rows.length,
  });
  const pages = Array.from({ length: engine.settings.cache.pagesPerRow }, (_, i) => i);
  const V = engine.declared.model.head.weight.out;
  for (const [i, name] of names.entries()) {
    const file = new Uint8Array(readFileSync(`${OPTIONS}${name}/logits.bin`));
    const logits = new Float32Array(file.buffer, file.byteOffset, file.byteLength / 4);
    for (const [row, ids] of rows.entries()) {
      const got = await engine.prefill(Uint32Array.from(ids), { pages, adapter: i + 1 });
      const last = logits.subarray(((row + 1) * length - 1) * V, (row + 1) * length * V);
      const peak = Math.max(...last.map(Math.abs));
      got.forEach((logit, id) => {
        if (!(Math.abs(logit - (last[id] as number)) <= 5e-6 * peak))
          throw new Error(`${name}, row ${row}, token ${id}: ${logit} for ${last[id]}`);
      });
    }
  }
  if (base === 'biased') {
    const plain = await openModel(directory, { shape: { B: 1, S: length } });
    const ids = rows[0] as number[];
    const want = (await plain.logits(Uint32Array.from(ids))).slice((length - 1) * V);
    const got = await engine.prefill(Uint32Array.from(ids), { pages, adapter: 0 });
    got.forEach((logit, id) => {
      expect(Math.abs(logit - (want[id] as number))).toBeLessThan(1e-5);
    });
    plain.destroy();
  }
  engine.destroy();
});
