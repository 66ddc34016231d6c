/** Evaluation: the loss as Hugging Face's Trainer computes it, and beside it the mean over all tokens. */
import { countItems, type LossDenominator, type MicroBatch } from '../data/batch.ts';
import { IGNORED } from '../data/row.ts';
import type { Engine } from './engine.ts';
import type { EvalResult, RowSums } from './events.ts';

/** Runs all batches, yields how many are done, and returns the losses in nats. Sums are kept in f64. */
export async function* evaluate(
  engine: Engine,
  batches: Iterable<MicroBatch> | AsyncIterable<MicroBatch>,
  denominator: LossDenominator = 'shifted_labels',
): AsyncGenerator<number, EvalResult> {
  const started = performance.now();
  let weighted = 0;
  let weights = 0;
  let samples = 0;
  const tokens = { count: 0, sum: 0, squares: 0 };
  const rows: RowSums = { sums: [], tokens: [] };
  let done = 0;
  for await (const batch of batches) {
    const losses = await engine.rowLosses(batch);
    let sum = 0;
    for (let b = 0; b < batch.B; b++) {
      const row = sumRow(losses, batch, b);
      rows.sums.push(row.sum);
      rows.tokens.push(row.count);
      sum += row.sum;
      tokens.squares += row.squares;
    }
    tokens.sum += sum;
    tokens.count += batch.lossTokens;
    const items = countItems(batch, denominator);
    samples += batch.B;
    yield ++done;
    // a batch without labels has no loss; transformers gets a NaN there and leaves it out of the mean
    if (items === 0) continue;
    weighted += (sum / items) * batch.B;
    weights += batch.B;
  }
  const mean = tokens.sum / tokens.count;
  const variance = Math.max(0, tokens.squares / tokens.count - mean * mean);
  const evalLoss = weighted / weights;
  return {
    evalLoss,
    perplexity: Math.exp(evalLoss),
    tokenLoss: mean,
    stderr: Math.sqrt(variance / tokens.count),
    lossTokens: tokens.count,
    rows,
    samples,
    seconds: (performance.now() - started) / 1000,
  };
}

function sumRow(losses: Float32Array, { labels, S }: MicroBatch, b: number) {
  const row = { count: 0, sum: 0, squares: 0 };
  for (let t = b * S; t < (b + 1) * S; t++) {
    if (labels[t] === IGNORED) continue;
    const loss = losses[t] as number;
    row.count++;
    row.sum += loss;
    row.squares += loss * loss;
  }
  return row;
}
