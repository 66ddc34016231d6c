import { expect, test } from 'vitest';
import { TorchRng } from '../../src/formats/torch-rng.ts';
import { goldenJson } from './files.ts';

type Golden = {
  randperm: [seed: number, n: number, order: number[]][];
  uniform: { seed: number; bound: number; values: number[] };
  normal: [seed: number, n: number, std: number, values: number[]][];
  peft_init: number[];
};
const golden = goldenJson<Golden>('random.json');

test('the check value of the published MT19937', () => {
  const rng = new TorchRng(5489);
  // Matsumoto and Nishimura: 10,000th output for seed 5489, as the C++ standard requires it
  rng.skip(9999);
  expect(rng.u32()).toBe(4123659995);
});

test('randperm is the order of torch.randperm, also for seeds past 32 bits', () => {
  expect([...new TorchRng(42).randperm(10)]).toEqual([2, 6, 1, 8, 4, 5, 0, 9, 3, 7]);
  expect(golden.randperm.length).toBe(6);
  for (const [seed, n, order] of golden.randperm) expect([...new TorchRng(seed).randperm(n)]).toEqual(order);
});

test('uniform equals torch bit for bit', () => {
  const { seed, bound, values } = golden.uniform;
  expect([...new TorchRng(seed).uniform(values.length, -bound, bound)]).toEqual(values);
});

test('the LoRA A that PEFT draws: two discarded draws of 256, then A', () => {
  const rng = new TorchRng(0);
  rng.skip(512);
  const bound = Math.sqrt(3) * (Math.sqrt(2 / 6) / Math.sqrt(64));
  const row = [...rng.uniform(256, -bound, bound).subarray(0, 3)];
  expect(row).toEqual([-0.03468182682991028, -0.04659946262836456, 0.03146862983703613]);
  expect(row).toEqual(golden.peft_init);
});

test('normal follows torch below a block of 16, at it and with a tail', () => {
  expect(golden.normal.map(([, n]) => n)).toEqual([5, 15, 16, 37, 64]);
  for (const [seed, n, std, values] of golden.normal) {
    const got = new TorchRng(seed).normal(n, std);
    for (let i = 0; i < n; i++) {
      // torch's vectorised log and sin are f32 with a few ulp of error; below 16 it computes in double: half an ulp
      const tolerance = n < 16 ? 6e-8 : 2e-6;
      expect(Math.abs(got[i]! - values[i]!) <= tolerance * std * 4, `seed ${seed}, element ${i}`).toBe(true);
    }
  }
});
