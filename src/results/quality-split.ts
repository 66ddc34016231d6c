/** Quality in two parts: what quantizing cost before the first step, and what training gained in each arm. */
import { median } from 'simple-statistics';
import { isSame, meanOfRows, type RowLosses, rowMean } from './row-error.ts';
import type { RunRecord } from './run-schema.ts';
import type { LossDifference, QualitySplit } from './summary-schema.ts';

type RunPair = readonly [baseline: RunRecord, treatment: RunRecord];
type Part = 'before' | 'after' | 'gained';

/**
 * Splits the difference of the final losses. `gained` is the drop of the treatment minus the drop of the baseline: above
 * zero where the treatment learned more. Null where a run lacks an evaluation, before or after.
 */
export function qualitySplit(pairs: readonly RunPair[]): QualitySplit | null {
  const isComplete = pairs.every((pair) =>
    pair.every(({ eval_info: { metrics_before, metrics } }) => metrics_before !== null && metrics !== null),
  );
  if (pairs.length === 0 || !isComplete) return null;
  return {
    before: difference(pairs, 'before'),
    gained: difference(pairs, 'gained'),
    after: difference(pairs, 'after'),
  };
}

function difference(pairs: readonly RunPair[], part: Part): LossDifference {
  const differences = pairs.map(([baseline, treatment]) => lossOf(treatment, part) - lossOf(baseline, part));
  return { median_difference: median(differences), rows: rowDifference(pairs, part) };
}

function lossOf({ eval_info }: RunRecord, part: Part): number {
  const before = eval_info.metrics_before!.eval_loss.value;
  const after = eval_info.metrics!.eval_loss.value;
  if (part === 'gained') return before - after;
  return part === 'before' ? before : after;
}

/** Averages each row over the seeds, takes arm from arm row by row, and lets the rows vary. */
function rowDifference(pairs: readonly RunPair[], part: Part): LossDifference['rows'] {
  const [baseline, treatment] = [0, 1].map((side) => {
    const losses = pairs.flatMap((pair) => pair[side]!.eval_info.row_losses ?? []);
    return losses.length < pairs.length ? null : meanOfRows(losses, (rows) => sumsOf(rows, part));
  });
  if (!baseline || !treatment) return null;
  if (!isSame(baseline.tokens, treatment.tokens)) return null;
  return rowMean(
    treatment.sums.map((sum, i) => sum - baseline.sums[i]!),
    baseline.tokens,
  );
}

function sumsOf({ before, after }: RowLosses, part: Part): readonly number[] | null {
  if (part === 'before') return before;
  if (part === 'after') return after;
  return before && after && before.map((sum, i) => sum - after[i]!);
}
