/** Evaluation loss and perplexity with Hugging Face's convention. */
import type { MicroBatch } from '../data/batch.ts';
import { IGNORED } from '../data/row.ts';
import type { Engine } from './engine.ts';

export type EvalResult = {
  /** Mean over batches of each batch's mean per loss token, weighted by its rows (transformers' evaluation_loop). */
  readonly evalLoss: number;
  readonly perplexity: number;
  /** Standard error of the mean over tokens. */
  readonly stderr: number;
  readonly lossTokens: number;
  readonly samples: number;
  readonly seconds: number;
};

/** Runs all batches; `onBatch` hears of each. Sums are kept in f64. */
export async function* evaluate(engine: Engine, batches: readonly MicroBatch[]): AsyncGenerator<number, EvalResult> {
  const started = performance.now();
  let weighted = 0;
  let samples = 0;
  const tokens = { count: 0, sum: 0, squares: 0 };
  for (const [i, batch] of batches.entries()) {
    const losses = await engine.rowLosses({ ...batch, S: batch.T });
    let sum = 0;
    for (let t = 0; t < losses.length; t++) {
      if (batch.labels[t] === IGNORED) continue;
      const loss = losses[t] as number;
      sum += loss;
      tokens.squares += loss * loss;
    }
    tokens.sum += sum;
    tokens.count += batch.lossTokens;
    weighted += batch.lossTokens === 0 ? 0 : (sum / batch.lossTokens) * batch.B;
    samples += batch.B;
    yield i + 1;
  }
  const mean = tokens.sum / tokens.count;
  const variance = Math.max(0, tokens.squares / tokens.count - mean * mean);
  const evalLoss = weighted / samples;
  return {
    evalLoss,
    perplexity: Math.exp(evalLoss),
    stderr: Math.sqrt(variance / tokens.count),
    lossTokens: tokens.count,
    samples,
    seconds: (performance.now() - started) / 1000,
  };
}
