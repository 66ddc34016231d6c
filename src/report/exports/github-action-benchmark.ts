/** Medians as the JSON that benchmark-action/github-action-benchmark takes with `tool: customSmallerIsBetter`. */
import { METRIC_NAMES, METRICS, type SuiteSummary } from '../../results/summary-schema.ts';

type Entry = {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  readonly range: string;
  readonly extra: string;
};

/** An entry for each metric of each arm and case that is better where it is smaller. */
export function githubActionBenchmark({ suite, arms, software_rendered }: SuiteSummary): Entry[] {
  return arms.flatMap(({ arm, case: name, metrics }) =>
    METRIC_NAMES.filter((metric) => METRICS[metric].better === 'lower').flatMap((metric): Entry[] => {
      const found = metrics[metric];
      if (found === null) return [];
      const { label, unit } = METRICS[metric];
      const where = name === null ? arm : `${name}/${arm}`;
      const software = software_rendered ? ', a software driver' : '';
      return [
        {
          name: `${suite}/${where}: ${label}`,
          unit: unit === '' ? '1' : unit,
          value: found.median,
          range: `± ${(found.max - found.min) / 2}`,
          extra: `median of ${found.n} runs, ${found.min} to ${found.max}${software}`,
        },
      ];
    }),
  );
}
