/** f64 reference of softmax cross entropy over rows of logits. */
import type { Vec } from './compare.ts';

/** Hugging Face's ignore_index: such a row has no loss and no gradient. */
export const IGNORED = -100;

/** logits (rows, V), targets (rows), already shifted -> rowLoss (rows) = lse - logit[target], not weighted. */
export function xentFwdRef(logits: Vec, targets: Vec, rows: number, V: number): Float64Array {
  const rowLoss = new Float64Array(rows);
  for (let t = 0; t < rows; t++) {
    if (targets[t] === IGNORED) continue;
    rowLoss[t] = logSumExp(logits, t * V, V) - logits[t * V + targets[t]!]!;
  }
  return rowLoss;
}

/** 1 for each row whose target has its largest logit, alone or with others. */
export function xentHitRef(logits: Vec, targets: Vec, rows: number, V: number): number[] {
  return Array.from({ length: rows }, (_, t) => {
    const row = Array.from({ length: V }, (_, v) => logits[t * V + v]!);
    return targets[t] !== IGNORED && row.every((logit) => row[targets[t]!]! >= logit) ? 1 : 0;
  });
}

/** dlogits (rows, V) of sum(rowLoss) * weight; weight is 1/N, N the targets of the whole step that count. */
export function xentBwdRef(logits: Vec, targets: Vec, rows: number, V: number, weight: number): Float64Array {
  const dlogits = new Float64Array(rows * V);
  for (let t = 0; t < rows; t++) {
    if (targets[t] === IGNORED) continue;
    const lse = logSumExp(logits, t * V, V);
    for (let v = 0; v < V; v++) {
      dlogits[t * V + v] = weight * (Math.exp(logits[t * V + v]! - lse) - (v === targets[t] ? 1 : 0));
    }
  }
  return dlogits;
}

function logSumExp(x: Vec, from: number, n: number): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = from; i < from + n; i++) max = Math.max(max, x[i]!);
  let sum = 0;
  for (let i = from; i < from + n; i++) sum += Math.exp(x[i]! - max);
  return max + Math.log(sum);
}
