/** What a task came to: each item's answers, filter by filter, and the metrics over all items with their standard errors. */
import { DataError } from '../errors.ts';
import { aggregate, standardError } from './aggregate.ts';
import type { RowScore } from './encode.ts';
import { applyFilters } from './filters.ts';
import { type Answer, type MetricValue, metricValues } from './metrics.ts';
import type { Item, Task } from './task.ts';
import { inTime } from './template.ts';
import type { PlacedTask } from './work.ts';

/** An item under one filter. */
export type Sample = {
  readonly item: Item;
  readonly filter: string;
  /** What the model gave to each thing asked, as often as it was. */
  readonly responses: readonly (readonly Answer[])[];
  readonly filtered: readonly Answer[];
  readonly metrics: ReadonlyMap<string, MetricValue>;
};

export type MetricResult = {
  readonly metric: string;
  readonly filter: string;
  readonly value: number;
  /** Null where lm-eval says N/A. */
  readonly stderr: number | null;
  /** What came of each item, in order. */
  readonly values: readonly MetricValue[];
};

export type TaskOutcome = {
  readonly task: Task;
  /** Filter by filter, each in the order of the items. */
  readonly samples: readonly Sample[];
  readonly metrics: readonly MetricResult[];
};

/** Name of the filter where a task has none. */
const NO_FILTER = 'none';

export type Answers = { readonly scores: readonly RowScore[]; readonly texts: readonly string[] };

/** @throws DataError, naming the row, where a filter fails on what a model wrote, or does not end */
export function taskOutcome({ task, places }: PlacedTask, answers: Answers, bootstrapIterations: number): TaskOutcome {
  const pipelines = task.fields.filter_list ?? [{ name: NO_FILTER, filter: [] }];
  const rolls = task.fields.output_type === 'loglikelihood_rolling';
  const responses = places.map((asked) =>
    asked.map(({ kind, numbers }): readonly Answer[] =>
      kind === 'texts' ? numbers.map((n) => answers.texts[n] as string) : [scored(numbers, answers.scores, rolls)],
    ),
  );
  const samples = pipelines.flatMap(({ name, filter }) =>
    task.items.map((item, i): Sample => {
      const given = responses[i]!;
      const judge = () => {
        const filtered = given.map(
          (answers): Answer =>
            typeof answers[0] === 'string'
              ? applyFilters(filter, answers as readonly string[])
              : (answers[0] as Answer),
        );
        return { filtered, metrics: metricValues(task, item, filtered) };
      };
      return { item, filter: name, responses: given, ...onRow(item, name, judge) };
    }),
  );
  const metrics = pipelines.flatMap(({ name: filter }) =>
    task.metrics.map(({ name, aggregation }): MetricResult => {
      const values = samples.filter((sample) => sample.filter === filter).map((s) => s.metrics.get(name)!);
      const value = aggregate(aggregation, values);
      const stderr = standardError(aggregation, values, bootstrapIterations);
      return { metric: name, filter, value, stderr, values };
    }),
  );
  return { task, samples, metrics };
}

/** Judges a row by patterns of the task. @throws DataError */
function onRow<T>({ where }: Item, filter: string, judge: () => T): T {
  try {
    return inTime(judge);
  } catch (cause) {
    const message = `the filter ${filter} cannot judge the answer to it (${(cause as Error).message}). Mend the task.`;
    throw cause instanceof DataError ? cause : new DataError(where, message, { cause });
  }
}

function scored(rows: readonly number[], scores: readonly RowScore[], rolls: boolean): Answer {
  const logprob = rows.reduce((sum, row) => sum + scores[row]!.logprob, 0);
  return rolls ? logprob : [logprob, rows.every((row) => scores[row]!.isGreedy)];
}
