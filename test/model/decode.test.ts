/** A row decoded in pieces through a cache has the logits that it has as a whole: the places that generation builds on. */
import { expect, test } from 'vitest';
import { allocateCache } from '../../src/generate/cache.ts';
import { decoderLogits } from '../../src/model/decoder.ts';
import { GOLDEN, openModel } from './open.ts';

const LENGTH = 40;
/** Five pages where three are enough, in an order of their own. */
const PAGES = [3, 0, 4];

test.each(['llama-biased', 'qwen3', 'mistral'])('%s: five tokens, one, thirty, then four', async (name) => {
  const open = await openModel(`${GOLDEN}architectures/${name}/dense`, { shape: { B: 1, S: LENGTH } });
  const { machine, declared, inputs } = open;
  const { model } = declared;
  const ids = Uint32Array.from({ length: LENGTH }, (_, i) => (i * 7 + 3) % model.config.vocab_size);
  const want = await open.logits(ids);
  const V = model.head.weight.out;
  const peak = Math.max(...want.map(Math.abs));
  const cache = allocateCache(machine.residents, model.config, { pages: 5, pagesPerRow: PAGES.length, rows: 1 });
  for (const { k, v } of cache.layers)
    for (const tensor of [k, v]) machine.write(tensor, new Float32Array(tensor.elements).fill(Number.NaN));
  machine.write(cache.pages, Uint32Array.from(PAGES));
  let first = 0;
  for (const S of [5, 1, 30, 4]) {
    const { cursor, pages } = cache;
    const tape = machine.tape({ cursor, pages });
    const phase = first === 0 ? 'prefill' : 'decode';
    const ctx = { tape, computeDtype: 'f32', B: 1, S, phase, cache } as const;
    const logits = decoderLogits(ctx, model, inputs.ids.slice(0, S), { row0: 0, rows: S });
    const out = machine.residents.tensor({ label: 'out', shape: [S, V], dtype: 'f32', category: 'logits' });
    tape.copy(logits, out);
    machine.write(cursor, Uint32Array.of(first, S, 0, 0));
    machine.write(inputs.ids, ids.slice(first, first + S));
    await machine.runOnce({ name: 'decode', commands: tape.commands });
    const got = await open.read(out);
    // the same sums, in an order that may differ
    for (let i = 0; i < S * V; i++) {
      const error = Math.abs((got[i] as number) - (want[first * V + i] as number));
      if (!(error <= 2e-6 * peak))
        throw new Error(`token ${first + Math.floor(i / V)}, logit ${i % V}: off by ${error}`);
    }
    first += S;
  }
  expect(first).toBe(LENGTH);
  open.destroy();
});
