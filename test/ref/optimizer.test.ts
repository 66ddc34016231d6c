import { expect, test } from 'vitest';
import { expectClose } from './compare.ts';
import { adamwRef, clipRef } from './optimizer.ts';

test('AdamW and clipping give the f64 values of torch', () => {
  // torch 2.13, float64: AdamW(lr 0.01, betas (0.9, 0.999), eps 1e-3, weight_decay 0.1) after clip_grad_norm_(1.0)
  const gradients = [
    [0.1, -3.0, 0.0],
    [1.0, 0.25, -0.5],
    [-2.0, 0.5, 4.0],
  ];
  const norms = [3.0016662039607267, 1.14564392373896, 4.5];
  const parameters = [
    [0.48979141928334197, -1.2387599955562354, 1.998],
    [0.48162267034932876, -1.2325699739464338, 2.0034193392978477],
    [0.47874488592335485, -1.2282229206501716, 1.9982208643632933],
  ];
  const p = Float64Array.of(0.5, -1.25, 2);
  const [m, v] = [new Float64Array(3), new Float64Array(3)];
  gradients.forEach((g, i) => {
    const { norm, coefficient } = clipRef(g, 1);
    adamwRef(p, g, m, v, i + 1, { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-3, weightDecay: 0.1, clip: coefficient });
    expectClose('norm', [norm], [norms[i]!], { rtol: 1e-14, atol: 0 });
    // both sides work in f64; only the order of operations differs
    expectClose(`parameters after step ${i + 1}`, p, parameters[i]!, { rtol: 1e-14, atol: 0 });
  });
});

test('a norm below the limit is not clipped', () => {
  expect(clipRef([3, 4], 10)).toEqual({ norm: 5, coefficient: 1 });
});
