import { expect, test } from 'vitest';
import { costOf, PUBLISHED_PRICES, priceOf } from '../../src/results/prices.ts';

test('GPUs that are for rent have a price with its date, others have none', () => {
  const price = (device: string) => priceOf(device, PUBLISHED_PRICES)?.dollarsPerHour ?? null;
  expect(['NVIDIA H200', 'NVIDIA L4', 'NVIDIA L40S', 'Tesla T4', 'NVIDIA A10G'].map(price)).toEqual([
    5, 0.8, 1.8, 0.4, 1,
  ]);
  expect(price('NVIDIA A100-SXM4-80GB')).toBe(2.5);
  expect(['NVIDIA GeForce RTX 4090', 'NVIDIA T400', 'llvmpipe (LLVM 19)', 'NVIDIA L40'].map(price)).toEqual(
    Array(4).fill(null),
  );
  expect(priceOf('NVIDIA H200', PUBLISHED_PRICES)?.source).toMatch(/\d{4}-\d{2}-\d{2}$/);
  expect(costOf(1800, { dollarsPerHour: 5, source: '' })).toBe(2.5);
});
