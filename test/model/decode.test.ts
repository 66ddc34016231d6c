/** A row decoded in pieces through a cache has the logits that it has as a whole: the places that generation will build on. */
import { expect, test } from 'vitest';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { decoderLogits } from '../../src/model/decoder.ts';
import type { AttentionCache } from '../../src/model/ops/context.ts';
import { GOLDEN, type OpenModel, openModel } from './open.ts';

const CAPACITY = 8;
/** Rows of the cache are bound, so that one of them has to be a multiple of 256 bytes: both models have 64 values there. */
const KEY_WIDTH = 64;

/** Keys and values in a buffer each, where recording knows the position; what is not written yet is NaN. */
function cacheOf({ machine, declared }: OpenModel, first: () => number): AttentionCache {
  const make = (label: string): Tensor => {
    const init = { label, shape: [CAPACITY, KEY_WIDTH], dtype: 'f32', category: 'activations' } as const;
    const tensor = machine.residents.tensor(init);
    machine.write(tensor, new Float32Array(tensor.elements).fill(Number.NaN));
    return tensor;
  };
  const held = declared.model.layers.map(({ name }) => ({ k: make(`${name}.keys`), v: make(`${name}.values`) }));
  return {
    capacity: CAPACITY,
    append: ({ tape, S }, layer, { k, v }) => {
      const to = held[layer] as (typeof held)[number];
      tape.copy(k, to.k.rows(first(), S));
      tape.copy(v, to.v.rows(first(), S));
      return to;
    },
  };
}

test.each(['llama-biased', 'qwen3'])('%s: five tokens, one, then two', async (name) => {
  const open = await openModel(`${GOLDEN}architectures/${name}/dense`, { shape: { B: 1, S: CAPACITY } });
  const { machine, declared, inputs } = open;
  const { model } = declared;
  const ids = Uint32Array.from({ length: CAPACITY }, (_, i) => (i * 7 + 3) % model.config.vocab_size);
  const want = await open.logits(ids);
  const V = model.head.weight.out;
  const peak = Math.max(...want.map(Math.abs));
  const cursor = machine.residents.tensor({
    label: 'cursor',
    shape: [1],
    dtype: 'u32',
    category: 'staging',
    usage: 'uniform',
  });
  let first = 0;
  const cache = cacheOf(open, () => first);
  for (const S of [5, 1, 2]) {
    const tape = machine.tape({ cursor });
    const ctx = { tape, computeDtype: 'f32', B: 1, S, phase: 'decode', cache } as const;
    const logits = decoderLogits(ctx, model, inputs.ids.slice(0, S), { row0: 0, rows: S });
    const out = machine.residents.tensor({ label: 'out', shape: [S, V], dtype: 'f32', category: 'logits' });
    tape.copy(logits, out);
    machine.write(cursor, Uint32Array.of(first));
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
  expect(first).toBe(CAPACITY);
  open.destroy();
});
