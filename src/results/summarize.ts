/** Summarizes the runs of a suite as its summary.json: from the run files alone, so that every report can do it again. */

import { caseOf, type Group, groupsOf, groupText, isOf } from './groups.ts';
import { judge } from './judge.ts';
import { deviceNotices, leftOutNotice, pairsOnOneDevice } from './one-device.ts';
import { comparePairs, type SeededValue } from './paired.ts';
import { qualitySplit } from './quality-split.ts';
import { type RunRecord, SCHEMA_VERSION } from './run-schema.ts';
import { speedObstacles, unusualRuns } from './speed-conditions.ts';
import { summarizeValues } from './statistics.ts';
import {
  type Comparison,
  type Metric,
  type QualitySplit,
  type ScaleUp,
  SUMMARY_VERSION,
  type SuiteSummary,
} from './summary-schema.ts';

type RunPair = readonly [baseline: RunRecord, treatment: RunRecord];

const READ: Record<Metric, (run: RunRecord) => number | null | undefined> = {
  peak_memory_bytes: (run) => run.train_info.memory?.allocated.peak,
  step_time_ms: (run) => run.train_info.step_time_ms?.p50,
  tokens_per_second: (run) => run.train_info.throughput.tokens_per_second,
  eval_loss: (run) => run.eval_info.metrics?.eval_loss.value,
  eval_loss_drop: (run) => {
    const { metrics_before: before, metrics: after } = run.eval_info;
    return before === null || after === null ? null : before.eval_loss.value - after.eval_loss.value;
  },
  perplexity: (run) => run.eval_info.metrics?.perplexity,
};

/** Reads one metric of one run, in the unit of METRICS; null where it was not measured. */
export function metricOf(run: RunRecord, metric: Metric): number | null {
  return READ[metric](run) ?? null;
}

export type SummarizeOptions = {
  readonly suite: string;
  readonly description?: string | undefined;
  readonly division?: 'closed' | 'open' | undefined;
  readonly createdAt: string;
  /** The arm that differences and ratios are taken against; `lora` unless said otherwise or absent, then the first. */
  readonly baseline?: string | undefined;
  readonly estimates?: ScaleUp | null;
  /** What the reader of the files noticed, before the runs' own. */
  readonly notices?: readonly string[];
};

/** Computes medians by arm and case, and every arm against the baseline of its case. Failed runs are only counted. */
export function summarizeRuns(runs: readonly RunRecord[], options: SummarizeOptions): SuiteSummary {
  const { suite, createdAt, description = '', division = null, estimates = null, notices = [] } = options;
  const groups = groupsOf(runs);
  const good = (group: Group) => runs.filter((run) => isOf(run, group) && run.run_info.status === 'success');
  const baseline = options.baseline ?? defaultBaseline(groups);
  const compared = comparedGroups(groups, baseline).map((treatment) => {
    const reference = { arm: baseline, case: treatment.case };
    return compareRuns(reference, treatment, good(reference), good(treatment));
  });
  const comparisons = compared.map(({ comparison }) => comparison);
  return {
    schema_version: SUMMARY_VERSION,
    suite,
    description,
    division,
    created_at: createdAt,
    run_ids: runs.map((run) => run.run_info.run_id),
    software_rendered: runs.some((run) => run.meta_info.gpu?.software_rendered === true),
    notices: [
      ...notices,
      ...deviceNotices(runs),
      ...leftOutNotice(compared.flatMap(({ left }) => left)),
      ...compared.flatMap(({ alone }) => alone),
      ...noticesOf(groups, runs),
    ],
    arms: groups.map((group) => {
      const ended = good(group);
      return {
        ...group,
        n: ended.length,
        failed: runs.filter((run) => isOf(run, group)).length - ended.length,
        metrics: perMetric((metric) => summarizeValues(seededValues(ended, metric).map(({ value }) => value))),
      };
    }),
    comparison: comparisons[0] ?? null,
    comparisons,
    estimates,
  };
}

/** Runs of other suites, and those from before a suite said it, have `lora` as their baseline if it is there. */
function defaultBaseline(groups: readonly Group[]): string {
  return groups.some(({ arm }) => arm === 'lora') ? 'lora' : (groups[0]?.arm ?? '');
}

function comparedGroups(groups: readonly Group[], baseline: string): Group[] {
  const cases = new Set(groups.filter(({ arm }) => arm === baseline).map((group) => group.case));
  return groups.filter((group) => group.arm !== baseline && cases.has(group.case));
}

/** Compares two arms of one case by the seeds that both have: every metric, its winner or why there is none. */
export function compareArms(
  arms: { readonly baseline: string; readonly treatment: string },
  baseline: readonly RunRecord[],
  treatment: readonly RunRecord[],
): Comparison {
  const name = baseline[0] === undefined ? null : caseOf(baseline[0]);
  return compareRuns({ arm: arms.baseline, case: name }, { arm: arms.treatment, case: name }, baseline, treatment)
    .comparison;
}

type Compared = {
  readonly comparison: Comparison;
  /** Pairs across two devices, which the comparison leaves out. */
  readonly left: readonly RunPair[];
  /** Sentences on seeds that one of the two arms lacks. */
  readonly alone: readonly string[];
};

function compareRuns(
  reference: Group,
  treated: Group,
  baseline: readonly RunRecord[],
  treatment: readonly RunRecord[],
): Compared {
  const { kept: pairs, left } = pairsOnOneDevice(pairRuns(baseline, treatment));
  const arms = { baseline: reference.arm, treatment: treated.arm };
  const sides = [0, 1].map((side) => pairs.map((pair) => pair[side]!)) as [RunRecord[], RunRecord[]];
  const quality = qualitySplit(pairs);
  const compared = perMetric((metric) => comparePairs(seededValues(sides[0], metric), seededValues(sides[1], metric)));
  const material = materialObstacles(pairs);
  const obstacles = {
    speed: [...material, ...speedObstacles(pairs.flat())],
    quality: [...material, ...qualityObstacles(quality)],
  };
  const paired = judge(arms, compared, obstacles);
  return {
    comparison: { ...arms, case: treated.case, n: pairs.length, paired, quality },
    left,
    alone: [...unpaired(reference, baseline, treated, treatment), ...unpaired(treated, treatment, reference, baseline)],
  };
}

/** Says which seeds of a group have no partner; nothing where the other has no run at all, which is said elsewhere. */
function unpaired(group: Group, runs: readonly RunRecord[], other: Group, others: readonly RunRecord[]): string[] {
  const seeds = new Set(others.map((run) => run.run_info.seed));
  const alone = runs.map((run) => run.run_info.seed).filter((seed) => !seeds.has(seed));
  if (alone.length === 0 || others.length === 0) return [];
  const which = `${alone.length === 1 ? 'Seed' : 'Seeds'} ${alone.join(', ')} of ${groupText(group)}`;
  return [
    `${which} ${alone.length === 1 ? 'has' : 'have'} no run of ${other.arm} beside, and no part in its comparison`,
  ];
}

/** Arms that started from other weights or saw other rows differ in more than what is compared. */
function materialObstacles(pairs: readonly (readonly [RunRecord, RunRecord])[]): string[] {
  const differs = (of: (run: RunRecord) => string | null): boolean => pairs.some(([a, b]) => of(a) !== of(b));
  return [
    ...(differs((run) => run.meta_info.model_info.sha256_of_weights) ? ['the arms had other weights'] : []),
    ...(differs((run) => run.eval_info.data_hashes.train) ? ['the arms had other training rows'] : []),
    ...(differs((run) => run.eval_info.data_hashes.eval) ? ['the arms had other evaluation rows'] : []),
  ];
}

/** The seeds' difference has to stand out of what other rows might have shown, where the records tell of rows. */
function qualityObstacles(quality: QualitySplit | null): string[] {
  const rows = quality?.after.rows ?? null;
  if (rows === null) return [];
  const [low, high] = rows.ci95;
  return low > 0 || high < 0
    ? []
    : [`the ${rows.rows} evaluated rows leave ${low.toFixed(4)} to ${high.toFixed(4)} open`];
}

function noticesOf(groups: readonly Group[], runs: readonly RunRecord[]): string[] {
  const evaluated = runs.filter((run) => run.eval_info.metrics !== null);
  const withoutRows = evaluated.filter((run) => run.eval_info.row_losses === undefined).length;
  const unusual = groups.flatMap((group) =>
    unusualRuns(
      groupText(group),
      runs.filter((run) => isOf(run, group) && run.run_info.status === 'success'),
    ),
  );
  const notices = [...unusual, ...versionNotices(runs)];
  if (withoutRows === 0) return notices;
  return [
    ...notices,
    `${withoutRows} of ${runs.length} records lack the losses of single rows: what is said of quality holds for these rows alone`,
  ];
}

/** Says that records are old, and that more than one version of nibble made the runs. */
function versionNotices(runs: readonly RunRecord[]): string[] {
  const old = runs.filter((run) => run.schema_version < SCHEMA_VERSION && run.meta_info.runtime.node !== null).length;
  const versions = new Set(
    runs
      .filter((run) => run.meta_info.runtime.node !== null)
      .map(
        ({ run_info: { code } }) =>
          `${code.version}${code.git_commit === null ? '' : ` (commit ${code.git_commit.slice(0, 9)})`}`,
      ),
  );
  return [
    ...(old === 0
      ? []
      : [`${old} of ${runs.length} records are of schema 1, which has no hash that would show an edit`]),
    ...(versions.size < 2 ? [] : [`The runs were made by several versions of nibble: ${[...versions].join(', ')}`]),
  ];
}

/** Reads a metric of runs by seed, leaving out runs that did not measure it. */
export function seededValues(runs: readonly RunRecord[], metric: Metric): SeededValue[] {
  return runs.flatMap((run) => {
    const value = metricOf(run, metric);
    return value === null ? [] : [{ seed: run.run_info.seed, value }];
  });
}

function pairRuns(baseline: readonly RunRecord[], treatment: readonly RunRecord[]): [RunRecord, RunRecord][] {
  const bySeed = new Map(treatment.map((run) => [run.run_info.seed, run]));
  return baseline.flatMap((run): [RunRecord, RunRecord][] => {
    const partner = bySeed.get(run.run_info.seed);
    return partner === undefined ? [] : [[run, partner]];
  });
}

function perMetric<T>(of: (metric: Metric) => T): Record<Metric, T> {
  return {
    peak_memory_bytes: of('peak_memory_bytes'),
    step_time_ms: of('step_time_ms'),
    tokens_per_second: of('tokens_per_second'),
    eval_loss: of('eval_loss'),
    eval_loss_drop: of('eval_loss_drop'),
    perplexity: of('perplexity'),
  };
}
