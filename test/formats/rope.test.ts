import { expect, test } from 'vitest';
import { parseModelConfig } from '../../src/formats/hf-config.ts';
import { inverseFrequencies, ropeTables } from '../../src/formats/rope.ts';
import type { RopeParameters } from '../../src/formats/rope-config.ts';
import { goldenJson } from './files.ts';

type Case = {
  head_dim: number;
  rope_parameters: RopeParameters;
  inv_freq: number[];
  positions: number[];
  cos: number[];
  sin: number[];
};
const cases = [...goldenJson<Case[]>('rope.json'), ...goldenJson<Case[]>('../configs/rope-types.json')].map(
  (wanted) => ({
    ...wanted,
    rope_parameters: parsed(wanted),
  }),
);

/** Completes rope parameters as the reader of config.json does. */
function parsed({ head_dim, rope_parameters }: Case): RopeParameters {
  const shape = { vocab_size: 8, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 };
  return parseModelConfig({ model_type: 'llama', ...shape, head_dim, rope_parameters }).rope_parameters;
}

/** Computes the distance of two f32 numbers of one sign in units in the last place. */
function ulps(a: number, b: number): number {
  const [x, y] = new Int32Array(Float32Array.of(a, b).buffer);
  return Math.abs(x! - y!);
}

test.each(cases)('$rope_parameters.rope_type, head_dim $head_dim: frequencies of transformers', (wanted) => {
  const got = inverseFrequencies(wanted);
  expect(got.length).toBe(wanted.inv_freq.length);
  const apart = wanted.inv_freq.map((value, j) => ulps(got[j]!, value));
  // torch's own f32 pow is off by one unit in the odd entry, in two of theta 150000
  expect(Math.max(...apart)).toBeLessThanOrEqual(1);
  const odd = wanted.rope_parameters.rope_theta === 150_000 ? 2 : 1;
  expect(apart.filter((distance) => distance > 0).length).toBeLessThanOrEqual(odd);
});

test.each(cases)('$rope_parameters.rope_type, head_dim $head_dim: tables of transformers', (wanted) => {
  const got = ropeTables(wanted, wanted.positions);
  expect(got.cos.length).toBe(wanted.cos.length);
  const half = wanted.head_dim / 2;
  const scale = wanted.rope_parameters.rope_type === 'yarn' ? wanted.rope_parameters.attention_factor : 1;
  for (let i = 0; i < wanted.cos.length; i++) {
    // a frequency one ulp off turns the angle by 6e-8 of itself; f32 sin and cos add 6e-8
    const angle = wanted.positions[Math.floor(i / half)]! * wanted.inv_freq[i % half]!;
    const tolerance = 1.2e-7 * (1 + Math.abs(angle)) * Math.max(1, scale);
    expect(Math.abs(got.cos[i]! - wanted.cos[i]!) <= tolerance, `cos ${i}`).toBe(true);
    expect(Math.abs(got.sin[i]! - wanted.sin[i]!) <= tolerance, `sin ${i}`).toBe(true);
  }
});

test('published values of the llama3 scaling: kept, blended and slowed entries', () => {
  const rope_parameters: RopeParameters = {
    rope_type: 'llama3',
    rope_theta: 500_000,
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const got = inverseFrequencies({ head_dim: 128, rope_parameters });
  const want = [
    [28, 0.0032114461064338684],
    [29, 0.0021665706299245358],
    [32, 0.0005248460220173001],
    [34, 0.0001785077911335975],
    [35, 9.556212171446532e-5],
    [63, 3.068925877869333e-7],
  ] as const;
  for (const [j, value] of want) expect(ulps(got[j]!, value), `entry ${j}`).toBeLessThanOrEqual(1);
});

test('a count of positions means 0, 1, 2 and so on', () => {
  const config = parseModelConfig({
    architectures: ['LlamaForCausalLM'],
    vocab_size: 8,
    hidden_size: 8,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  });
  expect(ropeTables(config, 3)).toEqual(ropeTables(config, [0, 1, 2]));
  expect([...ropeTables(config, 1).cos]).toEqual([1, 1]);
});
