/** f64 references of gradient clipping and AdamW, as torch and the Hugging Face Trainer do them. */
import type { Vec } from './compare.ts';

/** The 2-norm over all gradients, and what they are multiplied with: min(1, max / (norm + 1e-6)). */
export function clipRef(g: Vec, maxNorm: number) {
  let sumSq = 0;
  for (let i = 0; i < g.length; i++) sumSq += g[i]! ** 2;
  const norm = Math.sqrt(sumSq);
  return { norm, coefficient: Math.min(1, maxNorm / (norm + 1e-6)) };
}

export type AdamwRef = { lr: number; beta1: number; beta2: number; eps: number; weightDecay: number; clip: number };

/** Step t = 1, 2, ... on p, m and v in place. The decay comes first, eps after the bias correction of sqrt(v). */
export function adamwRef(p: Float64Array, g: Vec, m: Float64Array, v: Float64Array, t: number, o: AdamwRef): void {
  const bias1 = 1 - o.beta1 ** t;
  const bias2 = 1 - o.beta2 ** t;
  for (let i = 0; i < p.length; i++) {
    const gi = g[i]! * o.clip;
    m[i] = o.beta1 * m[i]! + (1 - o.beta1) * gi;
    v[i] = o.beta2 * v[i]! + (1 - o.beta2) * gi * gi;
    p[i] = p[i]! * (1 - o.lr * o.weightDecay) - ((o.lr / bias1) * m[i]!) / (Math.sqrt(v[i]! / bias2) + o.eps);
  }
}
