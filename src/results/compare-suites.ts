/** Two suites of one plan, such as of two commits: what became worse, by the same tests and minimum effects as arms. */
import { caseOf, type Group, groupsOf, groupText, isOf } from './groups.ts';
import { deviceOf } from './one-device.ts';
import { UNDECIDED } from './paired.ts';
import type { RunRecord } from './run-schema.ts';
import { median } from './statistics.ts';
import { compareArms, metricOf } from './summarize.ts';
import { METRIC_NAMES, METRICS, type Metric, type PairedSummary } from './summary-schema.ts';

export const BASE = 'base';
export const HEAD = 'head';

/** Smallest change of bytes that counts, as a share: they repeat exactly, and a few more of them harm nobody. */
export const MINIMUM_BYTES = 0.001;

export type Change = Group & {
  readonly metric: Metric;
  readonly base: number;
  readonly head: number;
  /** Pair by pair; see METRICS for the units. */
  readonly paired: PairedSummary;
  readonly verdict: 'worse' | 'better' | 'undecided';
};

export type SuiteComparison = {
  /** Leading metrics of every arm and case that both suites have; what restates them is left out. */
  readonly changes: readonly Change[];
  /** Runs that ended well in the base and failed in the head. */
  readonly failures: readonly string[];
  readonly notices: readonly string[];
};

/** Settings that say where, how long or under which name, and not what is computed. */
const NOT_COMPARED = new Set([
  ...['output_dir', 'model_name_or_path', 'adapter_name_or_path', 'chat_template_path', 'datasets', 'eval_datasets'],
  ...['logging_dir', 'report_to', 'max_minutes', 'strict', 'offline', 'resume_from_checkpoint', 'dataset_dir'],
]);

/** Says why two suites cannot be compared: other devices, weights, rows or settings; empty where they can. */
export function comparisonObstacles(base: readonly RunRecord[], head: readonly RunRecord[]): string[] {
  const pairs = pairsOf(base, head);
  if (pairs.length === 0) return ['they have no arm, case and seed in common'];
  const found = pairs.flatMap(([a, b]) => [
    ...differing('device', deviceOf(a), deviceOf(b)),
    ...differing('weights', a.meta_info.model_info.sha256_of_weights, b.meta_info.model_info.sha256_of_weights),
    ...differing('training rows', a.eval_info.data_hashes.train, b.eval_info.data_hashes.train),
    ...differing('evaluation rows', a.eval_info.data_hashes.eval, b.eval_info.data_hashes.eval),
    ...settingDifferences(a, b),
  ]);
  return [...new Set(found)];
}

function differing(what: string, a: string | null, b: string | null): string[] {
  return a === b ? [] : [`${what}: ${b ?? 'none'} in the head, ${a ?? 'none'} in the base`];
}

/** Settings that one version knows and the other does not are no difference. */
function settingDifferences(a: RunRecord, b: RunRecord): string[] {
  const [ours, theirs] = [a.run_info.train_config, b.run_info.train_config];
  const shared = Object.keys(ours).filter((key) => Object.hasOwn(theirs, key) && !NOT_COMPARED.has(key));
  return shared
    .filter((key) => JSON.stringify(ours[key]) !== JSON.stringify(theirs[key]))
    .map((key) => `${key}: ${JSON.stringify(theirs[key])} in the head, ${JSON.stringify(ours[key])} in the base`);
}

function pairsOf(base: readonly RunRecord[], head: readonly RunRecord[]): [RunRecord, RunRecord][] {
  const keyOf = (run: RunRecord) => JSON.stringify([run.run_info.arm, caseOf(run), run.run_info.seed]);
  const byKey = new Map(head.map((run) => [keyOf(run), run]));
  return base.flatMap((run): [RunRecord, RunRecord][] => {
    const other = byKey.get(keyOf(run));
    return other === undefined ? [] : [[run, other]];
  });
}

/** Compares what both have. Ask comparisonObstacles before. */
export function compareSuites(base: readonly RunRecord[], head: readonly RunRecord[]): SuiteComparison {
  const groups = groupsOf(base).filter((group) => head.some((run) => isOf(run, group)));
  const failed = pairsOf(base, head).filter(
    ([a, b]) => a.run_info.status === 'success' && b.run_info.status !== 'success',
  );
  return {
    changes: groups.flatMap((group) => changesOf(group, good(base, group), good(head, group))),
    failures: failed.map(([, { run_info }]) => `${nameOf(run_info)}: ${run_info.error?.message ?? run_info.status}`),
    notices: [...onlyIn('base', base, head), ...onlyIn('head', head, base)],
  };
}

const nameOf = ({ arm, case: name = null, seed }: RunRecord['run_info']): string =>
  `${groupText({ arm, case: name })}, seed ${seed}`;

const good = (runs: readonly RunRecord[], group: Group): RunRecord[] =>
  runs.filter((run) => isOf(run, group) && run.run_info.status === 'success');

function changesOf(group: Group, base: readonly RunRecord[], head: readonly RunRecord[]): Change[] {
  const { paired } = compareArms({ baseline: BASE, treatment: HEAD }, base, head);
  return METRIC_NAMES.filter((metric) => METRICS[metric].follows === null).flatMap((metric): Change[] => {
    const found = paired[metric];
    if (found === null) return [];
    const [mine, theirs] = [middle(base, found, metric), middle(head, found, metric)];
    return [{ ...group, metric, base: mine, head: theirs, paired: found, verdict: verdictOf(metric, found) }];
  });
}

function verdictOf(metric: Metric, { winner, median_ratio }: PairedSummary): Change['verdict'] {
  const isTooSmall =
    METRICS[metric].kind === 'bytes' && median_ratio !== null && Math.abs(median_ratio - 1) < MINIMUM_BYTES;
  if (winner === UNDECIDED || isTooSmall) return 'undecided';
  return winner === BASE ? 'worse' : 'better';
}

/** Median of the runs that are in a pair. */
function middle(runs: readonly RunRecord[], { seeds }: PairedSummary, metric: Metric): number {
  const values = runs.filter((run) => seeds.includes(run.run_info.seed)).flatMap((run) => metricOf(run, metric) ?? []);
  return median(values);
}

function onlyIn(where: string, runs: readonly RunRecord[], others: readonly RunRecord[]): string[] {
  const known = new Set(others.map(({ run_info }) => nameOf(run_info)));
  const alone = runs.map(({ run_info }) => nameOf(run_info)).filter((name) => !known.has(name));
  return alone.length === 0 ? [] : [`In the ${where} alone, and not compared: ${alone.join('; ')}`];
}
