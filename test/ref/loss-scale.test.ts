import { expect, test } from 'vitest';
import { gradScalerRef } from './loss-scale.ts';

test('scales of torch 2.13.0: GradScaler("cpu", init_scale=1024, growth_interval=3), x a step with an infinite gradient', () => {
  const overflows = [...'....x..x.xx.....'].map((c) => c === 'x');
  const options = { init: 1024, growthFactor: 2, backoffFactor: 0.5, growthInterval: 3 };
  expect(gradScalerRef(overflows, options)).toEqual([
    1024, 1024, 1024, 2048, 2048, 1024, 1024, 1024, 512, 512, 256, 128, 128, 128, 256, 256, 256,
  ]);
});
