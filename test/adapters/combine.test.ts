/** Weighted sums of adapters against PEFT's add_weighted_adapter: test/golden/combine. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type CombinationType, combineAdapters, type WeightedAdapter } from '../../src/adapters/combine.ts';
import { openAdapter } from '../../src/adapters/files.ts';
import { adapterTensors, isTransposed, transposed } from '../../src/adapters/layout.ts';
import { storedValues } from '../../src/adapters/start-values.ts';
import { openSafetensors, readFloats } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { adapterBase } from '../../src/model/adapter-base.ts';
import { nodeReader } from '../../src/node/files.ts';
import { thrown } from '../formats/files.ts';

const GOLDEN = new URL('../golden/', import.meta.url).pathname;
const OPTIONS = `${GOLDEN}peft-options/`;
const base = adapterBase(await readModelConfig(nodeReader(`${OPTIONS}biased`)));

type Case = {
  readonly weights: Readonly<Record<string, number>>;
  readonly combination_type: CombinationType;
  readonly svd_rank: number | null;
  readonly r: number;
  readonly lora_alpha: number;
};
const cases = JSON.parse(readFileSync(`${GOLDEN}combine/combined.json`, 'utf8')) as Record<string, Case>;

async function weighted(weights: Readonly<Record<string, number>>) {
  const adapters: WeightedAdapter[] = [];
  for (const [name, weight] of Object.entries(weights)) {
    const adapter = await openAdapter(nodeReader(`${OPTIONS}${name}`), base);
    adapters.push({ name, weight, adapter, values: await storedValues(adapter) });
  }
  return adapters as [WeightedAdapter, ...WeightedAdapter[]];
}

/** B A of a module, out of tensors as files have them. */
function product(A: Float32Array, B: Float32Array, r: number): Float64Array {
  const [width, rows] = [A.length / r, B.length / r];
  const out = new Float64Array(rows * width);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < r; j++)
      for (let k = 0; k < width; k++)
        out[i * width + k] = (out[i * width + k] as number) + (B[i * r + j] as number) * (A[j * width + k] as number);
  return out;
}

test('every way to add is there', () => {
  expect(new Set(Object.values(cases).map(({ combination_type }) => combination_type)).size).toBe(3);
  expect(Object.keys(cases)).toHaveLength(7);
});

test.each(Object.entries(cases))('%s', async (name, { weights, r, lora_alpha, ...settings }) => {
  const { config, layout, values } = combineAdapters(await weighted(weights), settings, base);
  expect(config).toMatchObject({ r, lora_alpha, use_rslora: false, rank_pattern: {}, alpha_pattern: {} });
  const want = await openSafetensors(nodeReader(`${GOLDEN}combine`), `${name}.safetensors`);
  const tensors = adapterTensors(layout);
  expect(tensors.map(({ key }) => key).sort()).toEqual([...want.names()].sort());
  const got = new Map(
    tensors.map(({ key, name: own, shape: [rows = 1, columns = 1] }) => {
      const held = values.get(own) as Float32Array;
      return [key, isTransposed(own) ? transposed(held, columns, rows) : held] as const;
    }),
  );
  if (settings.combination_type !== 'svd') {
    for (const { key } of tensors) {
      const theirs = await readFloats(want, key);
      // PEFT multiplies random values by zero where nothing is added, which leaves signs on zeros
      expect(
        got.get(key)?.findIndex((v, i) => v !== theirs[i]),
        key,
      ).toBe(-1);
    }
    return;
  }
  // signs of singular vectors are free, their product is not; PEFT decomposes in float32: eps 1.2e-7, some of them add up
  const RTOL = 5e-6;
  for (const { key } of tensors.filter((tensor) => /lora_A|embedding_A/.test(tensor.key))) {
    const keyB = key.replace('_A', '_B');
    const ours = product(got.get(key) as Float32Array, got.get(keyB) as Float32Array, r);
    const theirs = product(await readFloats(want, key), await readFloats(want, keyB), r);
    const largest = Math.max(...theirs.map(Math.abs));
    const wrong = ours.findIndex((v, i) => !(Math.abs(v - (theirs[i] as number)) <= RTOL * largest));
    expect(largest).toBeGreaterThan(0);
    expect(wrong, key).toBe(-1);
  }
});

test('rsLoRA: the sum is that of the scaled updates, which PEFT multiplies by the root of the rank', async () => {
  const { config, layout } = combineAdapters(
    await weighted({ patterns: 1 }),
    { combination_type: 'linear', svd_rank: null },
    base,
  );
  expect(config.use_rslora).toBe(false);
  expect(layout.targets.map(({ scaling }) => scaling)).toEqual(layout.targets.map(() => 1));
});

test.each<[weights: Record<string, number>, type: CombinationType, message: string]>([
  [{ default: 1, patterns: 1 }, 'linear', 'there are default 4, patterns 6. Use cat or svd'],
  [{ default: 1, dora: 1 }, 'cat', 'dora: is a DoRA'],
  [{ 'modules-to-save': 1, default: 1 }, 'svd', 'modules-to-save: trains whole modules or biases'],
  [{ 'lora-bias': 1, default: 1 }, 'cat', 'lora-bias: has biases on lora_B (lora_bias)'],
  [{ tokens: 1, default: 1 }, 'cat', 'tokens: trains rows of tokens (trainable_token_indices)'],
  [{ default: Number.NaN, head: 1 }, 'cat', 'default: its weight is NaN, needs a number'],
])('%j by %s is refused', async (weights, combination_type, message) => {
  const adapters = await weighted(weights);
  expect(thrown(() => combineAdapters(adapters, { combination_type, svd_rank: null }, base)).message).toContain(
    message,
  );
});

test('one adapter is cut to the rank that is asked for, and its sum is what it was at its own', async () => {
  const adapters = await weighted({ default: 1 });
  const { r } = adapters[0].adapter.config;
  const cut = combineAdapters(adapters, { combination_type: 'svd', svd_rank: r - 1 }, base);
  expect(cut.config).toMatchObject({ r: r - 1, lora_alpha: r - 1 });
  const whole = combineAdapters(adapters, { combination_type: 'svd', svd_rank: r }, base);
  const [target] = whole.layout.targets;
  const [a, b] = [`${target!.name}.lora_A.weight`, `${target!.name}.lora_B.weight`];
  const plain = combineAdapters(adapters, { combination_type: 'svd', svd_rank: null }, base);
  const want = product(plain.values.get(a)!, plain.values.get(b)!, r);
  // float32 rounds factors of about 0.1 to 4e-9
  product(whole.values.get(a)!, whole.values.get(b)!, r).forEach((value, i) => {
    expect(Math.abs(value - want[i]!)).toBeLessThan(1e-7);
  });
});

test('a sum that float32 cannot hold is refused', async () => {
  const adapters = await weighted({ default: 1e300 });
  expect(thrown(() => combineAdapters(adapters, { combination_type: 'linear', svd_rank: null }, base)).message).toMatch(
    /lora_[AB].* of the sum is beyond what float32 holds/,
  );
});
