import { describe, expect } from 'vitest';
import type { DeviceProfile } from '../../src/gpu/device-profile.ts';
import { FLAG } from '../../src/kernels/flags.ts';
import { itGpuMatrix, itSubgroupMatrix } from '../gpu/subgroup-matrices.ts';
import { expectSameBits } from '../ref/compare.ts';
import {
  type Case,
  caseName,
  expectOutcome,
  F32,
  GPU_CASES,
  inputsOf,
  referenceOf,
  runBesideNaN,
  runCase,
  type Tolerances,
} from './attention-cases.ts';

const MATRIX: Partial<DeviceProfile> = { tier: 'subgroup_matrix' };
/** Blocks of 16 rows and columns: 1, below, at, past and no multiple of them. lavapipe takes minutes to compile a head dim of 128. */
const CASES: readonly Case[] = [
  { B: 1, S: 1, H: 1, K: 1, D: 16 },
  { B: 2, S: 15, H: 4, K: 2, D: 16 },
  { B: 1, S: 16, H: 2, K: 1, D: 32 },
  { B: 1, S: 33, H: 2, K: 1, D: 48 },
  { B: 3, S: 49, H: 4, K: 2, D: 16 },
  { B: 1, S: 35, H: 2, K: 1, D: 16, window: 1 },
  { B: 1, S: 67, H: 2, K: 1, D: 16, window: 20 },
  { B: 2, S: 35, H: 2, K: 1, D: 16, documents: [[1, 15, 17], [35]] },
  { B: 1, S: 67, H: 1, K: 1, D: 16, window: 10, documents: [[20, 32, 3]] },
].map((one) => ({ ...one, computeDtype: 'f16', maxWorkgroups: 7 }));

// p and p * (dp - delta) are rounded to f16, by 2^-11 of themselves at most; sums of such terms are of size 1 to 30
const HALVES: Tolerances = {
  ...F32,
  o: { rtol: 1e-3, atol: 1e-3 },
  dq: { rtol: 1e-3, atol: 1e-2 },
  dk: { rtol: 1e-3, atol: 1e-2 },
  dv: { rtol: 1e-3, atol: 2e-3 },
};

/** One block of rows and of columns and a little, so that both ends are short. */
const ONE: Case = { B: 1, S: 19, H: 2, K: 1, D: 16, computeDtype: 'f16' };

describe('attention subgroup_matrix', () => {
  for (const one of CASES) {
    itSubgroupMatrix(caseName(one), async () => {
      const inputs = inputsOf(one, { spread: 1.2, halves: true });
      const want = referenceOf(one, inputs);
      const got = await runCase(MATRIX, one, inputs, want);
      expectOutcome(got, want, HALVES);
      expect(got.flags).toBe(0);
    });
  }

  itSubgroupMatrix('o and dv in f16, and backward from such an o', async () => {
    for (const one of [ONE, { ...ONE, B: 2, S: 35, H: 4, D: 32, maxWorkgroups: 7 }]) {
      const inputs = inputsOf(one, { spread: 1.2, halves: true });
      const want = referenceOf(one, inputs);
      const got = await runCase(MATRIX, { ...one, halfOutputs: true }, inputs, want);
      // o carries half an ulp of f16 into delta's sum of D products
      expectOutcome(got, want, { ...HALVES, delta: { rtol: 1e-3, atol: 1e-2 } });
      expect(got.flags).toBe(0);
    }
  });

  itSubgroupMatrix('flags a dO, a dv, a p * (dp - delta) and an o that f16 does not hold', async () => {
    const inputs = inputsOf(ONE, { halves: true });
    const flagsOf = async (changes: Partial<Case>, planted: Partial<typeof inputs>) => {
      const given = { ...inputs, ...planted };
      return (await runCase(MATRIX, { ...ONE, ...changes }, given, referenceOf(ONE, given))).flags;
    };
    const all = (x: Float32Array, value: number) => new Float32Array(x.length).fill(value);
    expect(await flagsOf({}, { dO: all(inputs.dO, 70_000) })).toBe(FLAG.input);
    // a key's dv is a sum over the queries that see it; with v 0 nothing else is large
    const large = { q: all(inputs.q, 0), v: all(inputs.v, 0), dO: all(inputs.dO, 60_000) };
    expect(await flagsOf({ halfOutputs: true }, large)).toBe(FLAG.input);
    expect(await flagsOf({ halfOutputs: true }, { ...large, dO: all(inputs.dO, 6_000) })).toBe(0);
    // dp is a product of D terms; delta is their mean over the keys
    const uneven = inputs.v.map((_, i) => (i < ONE.D ? 30_000 : 0));
    expect(await flagsOf({}, { v: uneven, dO: all(inputs.dO, 300) })).toBe(FLAG.input);
    const beyond = { v: inputs.v.map((_, i) => (i === 0 ? Number.POSITIVE_INFINITY : 0)), dO: all(inputs.dO, 0) };
    expect(await flagsOf({ halfOutputs: true }, beyond)).toBe(FLAG.input);
  });

  itSubgroupMatrix('the same bits twice, and near simt and direct', async () => {
    const inputs = inputsOf(ONE, { spread: 1.2, halves: true });
    const want = referenceOf(ONE, inputs);
    const [first, second] = [await runCase(MATRIX, ONE, inputs, want), await runCase(MATRIX, ONE, inputs, want)];
    for (const name of ['o', 'lse', 'dq', 'dk', 'dv'] as const) expectSameBits(name, second[name], first[name]);
    for (const tier of ['simt', 'direct'] as const)
      expectOutcome(first, await runCase({ tier }, ONE, inputs, want), HALVES);
  });

  for (const [what, value, flag] of [
    ['the largest f16 number', 65504, 0],
    ['a value past it', 65505, FLAG.input],
    ['infinity', Number.NEGATIVE_INFINITY, FLAG.input],
    ['NaN', Number.NaN, FLAG.input],
  ] as const) {
    itSubgroupMatrix(`flags ${what} in v, as the operand that it is in both directions`, async () => {
      const inputs = inputsOf(ONE, { spread: 1.2, halves: true });
      const want = referenceOf(ONE, inputs);
      // the last token's: dO is 0 there, so that what follows from it stays in range
      inputs.v[inputs.v.length - 1] = value;
      inputs.dO.fill(0);
      expect((await runCase(MATRIX, ONE, inputs, want)).flags).toBe(flag);
    });
  }

  // Keys are multiples of one direction, by growing, equal or falling factors: scores of a row follow them, and its maximum
  // grows by more than 8 with every block of keys, once, or never.
  for (const [what, factorOf] of [
    ['with every block', (s: number) => Math.floor(s / 16)],
    ['within a block, by less than 8 and then by more', (s: number) => [0, 0.5, 1.25, 1.5, 4][Math.floor(s / 13)] ?? 0],
    ['never', (s: number) => 4 - Math.floor(s / 16)],
  ] as const) {
    itSubgroupMatrix(`rows whose maximum grows by more than 8 ${what}`, async () => {
      const one: Case = { B: 1, S: 65, H: 2, K: 1, D: 16, computeDtype: 'f16' };
      const inputs = inputsOf(one, { spread: 1, halves: true });
      inputs.q.fill(1);
      // 16 products of 1 and the factor, by a scale of 0.9 / 4: 3.6 times it
      inputs.k.forEach((_, i) => {
        inputs.k[i] = 4 * factorOf(Math.floor(i / one.D));
      });
      const want = referenceOf(one, inputs);
      const got = await runCase(MATRIX, one, inputs, want);
      expectOutcome(got, want, { ...HALVES, lse: { rtol: 1e-6, atol: 1e-5 } });
      expect(got.flags).toBe(0);
    });
  }

  itSubgroupMatrix('blocks of another document are never touched', async () => {
    await runBesideNaN(MATRIX, 'f16');
  });

  for (const given of GPU_CASES) {
    const one: Case = { ...given, computeDtype: 'f16', maxWorkgroups: 7 };
    itGpuMatrix(`a GPU's blocks: ${caseName(one)}`, async () => {
      const inputs = inputsOf(one, { spread: 1.2, halves: true });
      const want = referenceOf(one, inputs);
      const got = await runCase(MATRIX, one, inputs, want);
      expectOutcome(got, want, HALVES);
      expect(got.flags).toBe(0);
    });
  }
  itGpuMatrix("a GPU's blocks: those of another document are never touched", async () => {
    for (const D of [32, 128]) await runBesideNaN(MATRIX, 'f16', D);
  });

  itSubgroupMatrix('a head dim that no matrix divides goes by simt, and f32 does', async () => {
    for (const one of [
      { ...ONE, D: 20 },
      { ...ONE, computeDtype: 'f32' },
    ] as const) {
      const inputs = inputsOf(one);
      const want = referenceOf(one, inputs);
      expectOutcome(await runCase(MATRIX, one, inputs, want), want, F32);
    }
  });
});
