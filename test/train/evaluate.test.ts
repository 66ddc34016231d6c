/** An evaluation turns the losses of its rows into Trainer's eval_loss and the mean over tokens. */
import { expect, test } from 'vitest';
import { type LossDenominator, type MicroBatch, makeMicroBatch } from '../../src/data/batch.ts';
import type { Row } from '../../src/data/row.ts';
import type { Engine } from '../../src/train/engine.ts';
import { evaluate } from '../../src/train/evaluate.ts';
import type { EvalResult } from '../../src/train/events.ts';

const row = (length: number, labels?: number[]): Row => ({
  inputIds: new Uint32Array(length).fill(1),
  labels: labels ? Int32Array.from(labels) : null,
});
const batch = (...rows: Row[]): MicroBatch => makeMicroBatch(rows, { padId: 0 });

/** Evaluates batches in which every predicted token of batch i has losses[i]. */
async function evaluated(batches: MicroBatch[], losses: number[], denominator?: LossDenominator): Promise<EvalResult> {
  let at = 0;
  const engine = {
    rowLosses: async ({ labels }: MicroBatch) => {
      const loss = losses[at++] as number;
      return Float32Array.from(labels, (label) => (label === -100 ? 0 : loss));
    },
  };
  const running = evaluate(engine as unknown as Engine, batches, denominator);
  let next = await running.next();
  while (!next.done) next = await running.next();
  return next.value;
}

// 2 rows with 4 predicted tokens, 1 row with 1
const BATCHES = [batch(row(2), row(4)), batch(row(2))];

test('eval_loss weighs the mean of a batch by its rows, tokenLoss by its tokens', async () => {
  const result = await evaluated(BATCHES, [2, 8]);
  expect(result).toMatchObject({ evalLoss: (2 * 2 + 8) / 3, tokenLoss: (4 * 2 + 8) / 5, lossTokens: 5, samples: 3 });
  expect(result.perplexity).toBe(Math.exp(4));
});

test('with all_labels a batch is divided by its first labels too', async () => {
  const { evalLoss, tokenLoss } = await evaluated(BATCHES, [2, 8], 'all_labels');
  expect(evalLoss).toBeCloseTo(((2 * 2 * 4) / 6 + 8 / 2) / 3, 12);
  expect(tokenLoss).toBe((4 * 2 + 8) / 5);
});

test('a batch in which nothing counts is left out of eval_loss', async () => {
  const silent = batch(row(3, [-100, -100, -100]), row(1));
  const { evalLoss, samples } = await evaluated([BATCHES[0]!, silent, BATCHES[1]!], [2, 5, 8]);
  expect([evalLoss, samples]).toEqual([(2 * 2 + 8) / 3, 5]);
});
