/** Several models on the same items: what each came to, and what the items say of their differences. */
import { type McNemar, mcNemar, wilsonInterval } from '../results/proportion.ts';
import { type RowMean, rowMean } from '../results/row-error.ts';
import type { Interval } from '../results/statistics.ts';
import type { TaskOutcome } from './outcome.ts';

/** Two models of the table by their names. */
type Pair = { readonly first: string; readonly second: string };

export type MetricCell = {
  readonly model: string;
  readonly value: number;
  /** As lm-eval computes it; null where it gives none. */
  readonly stderr: number | null;
  /** Wilson's interval of 95 %, of shares alone. */
  readonly ci95: Interval | null;
};

export type MetricRow = {
  readonly task: string;
  readonly metric: string;
  readonly filter: string;
  readonly higher_is_better: boolean;
  /** Items, the same for every model. */
  readonly n: number;
  readonly models: readonly MetricCell[];
  /** McNemar's exact test of every two models, of shares alone. */
  readonly comparisons: readonly (Pair & McNemar)[];
};

/** A loss over rows, in nats per token. */
export type LossCell = {
  readonly model: string;
  readonly loss: number;
  readonly perplexity: number;
  /** Standard error of the loss, with a row as one observation; null below eight of them. */
  readonly stderr: number | null;
  readonly ci95: Interval | null;
};

export type LossRow = {
  /** What the loss is of: a dataset, or a text. */
  readonly name: string;
  /** Rows of a dataset, windows of a text. */
  readonly rows: number;
  readonly tokens: number;
  readonly models: readonly LossCell[];
  /** Loss of the second less that of the first, row by row; null below eight rows. */
  readonly differences: readonly (Pair & { readonly difference: RowMean | null })[];
};

/** One model's losses, row by row. */
export type RowLosses = {
  readonly model: string;
  readonly loss: number;
  readonly sums: readonly number[];
  readonly tokens: readonly number[];
};

type Outcomes = { readonly model: string; readonly outcomes: readonly TaskOutcome[] };

/** A row for each metric of each task under each filter. @param all of the same tasks */
export function metricRows(all: readonly Outcomes[]): MetricRow[] {
  const [leading] = all;
  return (leading?.outcomes ?? []).flatMap(({ task, metrics }, t) =>
    metrics.map(({ metric, filter }, m): MetricRow => {
      const found = all.map(({ model, outcomes }) => ({ model, ...outcomes[t]!.metrics[m]! }));
      const isShare = found.every(({ values }) => values.every((value) => value === 0 || value === 1));
      const { higherIsBetter, aggregation } = task.metrics.find(({ name }) => name === metric)!;
      const tested = isShare && aggregation === 'mean';
      const rights = found.map(({ values }) => values.map((value) => value === 1));
      return {
        task: task.name,
        metric,
        filter,
        higher_is_better: higherIsBetter,
        n: task.items.length,
        models: found.map(({ model, value, stderr }, i) => ({
          model,
          value,
          stderr,
          ci95: tested ? wilsonInterval(rights[i]!.filter(Boolean).length, task.items.length) : null,
        })),
        comparisons: tested
          ? pairsOf(found).map(([i, j]) => ({
              first: found[i]!.model,
              second: found[j]!.model,
              ...mcNemar(rights[i]!, rights[j]!),
            }))
          : [],
      };
    }),
  );
}

/** @param all of the same rows */
export function lossRow(name: string, all: readonly RowLosses[]): LossRow {
  const tokens = all[0]?.tokens ?? [];
  return {
    name,
    rows: tokens.length,
    tokens: tokens.reduce((sum, count) => sum + count, 0),
    models: all.map(({ model, loss, sums }) => {
      const { stderr, ci95 } = rowMean(sums, tokens) ?? { stderr: null, ci95: null };
      return { model, loss, perplexity: Math.exp(loss), stderr, ci95 };
    }),
    differences: pairsOf(all).map(([i, j]) => ({
      first: all[i]!.model,
      second: all[j]!.model,
      difference: rowMean(
        all[j]!.sums.map((sum, row) => sum - all[i]!.sums[row]!),
        tokens,
      ),
    })),
  };
}

function pairsOf(all: readonly unknown[]): (readonly [number, number])[] {
  return all.flatMap((_, i) => all.slice(i + 1).map((_other, j) => [i, i + 1 + j] as const));
}
