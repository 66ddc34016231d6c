/** Names winners, and says why where there is none. One rule for every table, sentence and chart of a report. */
import {
  type Arms,
  favoured,
  isShownExactly,
  MIN_PAIRS,
  type PairedComparison,
  SIGNIFICANCE,
  UNDECIDED,
} from './paired.ts';
import { holm } from './signed-rank.ts';
import { METRIC_NAMES, METRICS, type Metric, type PairedSummary } from './summary-schema.ts';

export type Compared = Readonly<Record<Metric, PairedComparison | null>>;
/** Why a kind of metric names no winner whatever its pairs show; none where nothing forbids it. */
export type Obstacles = { readonly speed: readonly string[]; readonly quality: readonly string[] };

type Verdict = Pick<PairedSummary, 'p_holm' | 'minimum_effect' | 'winner' | 'undecided_because'>;

/**
 * Judges every metric of one pair of arms. Bytes that repeat exactly are compared as they are. Noisy metrics that lead a
 * headline form one family, corrected by Holm, so that a headline of arms that do not differ names a winner in at most
 * 5 % of suites. A metric that restates a leading one (throughput a step time, perplexity a loss) follows it.
 */
export function judge(arms: Arms, compared: Compared, obstacles: Obstacles): Record<Metric, PairedSummary | null> {
  const leaders = METRIC_NAMES.filter((metric) => METRICS[metric].follows === null);
  const tested = leaders.filter(
    (metric) => (compared[metric]?.p_value ?? null) !== null && !isBlocked(metric, obstacles),
  );
  const adjusted = holm(tested.map((metric) => compared[metric]!.p_value!));
  const pHolm = new Map(tested.map((metric, i) => [metric, adjusted[i]!]));
  const verdicts = new Map<Metric, Verdict>();
  for (const metric of leaders) {
    const pairs = compared[metric];
    if (pairs !== null) verdicts.set(metric, judgeLeader(arms, metric, pairs, pHolm.get(metric) ?? null, obstacles));
  }
  const summaries = METRIC_NAMES.map((metric) => {
    const pairs = compared[metric];
    if (pairs === null) return [metric, null] as const;
    const { follows } = METRICS[metric];
    const verdict =
      follows === null ? verdicts.get(metric)! : judgeFollower(arms, metric, pairs, verdicts.get(follows as Metric));
    return [metric, { ...pairs, ...verdict }] as const;
  });
  return Object.fromEntries(summaries) as Record<Metric, PairedSummary | null>;
}

function judgeLeader(
  arms: Arms,
  metric: Metric,
  pairs: PairedComparison,
  pHolm: number | null,
  obstacles: Obstacles,
): Verdict {
  const { better, minimum } = METRICS[metric];
  const arm = favoured(arms, better, pairs.median_difference);
  const base = { p_holm: pHolm, minimum_effect: minimum };
  if (METRICS[metric].kind === 'bytes' && isShownExactly(pairs)) return decided(base, arm);
  const why = [
    ...(pairs.repeats_exactly ? ['every run of an arm gave the same number, which leaves nothing to test'] : []),
    ...(pairs.n < MIN_PAIRS ? [`${pairs.n} paired seeds, and ${MIN_PAIRS} are needed`] : []),
    ...obstaclesOf(metric, obstacles),
    ...(pHolm !== null && pHolm > SIGNIFICANCE ? [`p = ${pHolm.toPrecision(2)}, above ${SIGNIFICANCE}`] : []),
    ...(isSmall(metric, pairs) ? [`the difference is below the ${effectText(metric)} that count`] : []),
  ];
  return why.length === 0 ? decided(base, arm) : undecided(base, why);
}

function decided(base: Pick<Verdict, 'p_holm' | 'minimum_effect'>, winner: string): Verdict {
  return { ...base, winner, undecided_because: winner === UNDECIDED ? ['the arms are equal'] : [] };
}

function undecided(base: Pick<Verdict, 'p_holm' | 'minimum_effect'>, why: readonly string[]): Verdict {
  return { ...base, winner: UNDECIDED, undecided_because: [...why] };
}

/** A follower is named only with its leader, for the same arm, and if its own pairs show it as well. */
function judgeFollower(arms: Arms, metric: Metric, pairs: PairedComparison, leader: Verdict | undefined): Verdict {
  const base = { p_holm: null, minimum_effect: METRICS[metric].minimum };
  if (leader === undefined) return undecided(base, ['what it restates was not measured']);
  if (leader.winner === UNDECIDED) return undecided(base, leader.undecided_because);
  const arm = favoured(arms, METRICS[metric].better, pairs.median_difference);
  const isShown = pairs.p_value !== null && pairs.p_value <= SIGNIFICANCE && arm === leader.winner;
  return isShown ? decided(base, arm) : undecided(base, ['its own pairs do not show it']);
}

function isBlocked(metric: Metric, obstacles: Obstacles): boolean {
  return obstaclesOf(metric, obstacles).length > 0;
}

function obstaclesOf(metric: Metric, obstacles: Obstacles): readonly string[] {
  const { kind } = METRICS[metric];
  return kind === 'bytes' ? [] : obstacles[kind];
}

function isSmall(metric: Metric, { median_difference, median_ratio }: PairedComparison): boolean {
  const { minimum } = METRICS[metric];
  if (minimum === null) return false;
  const effect =
    minimum.of === 'ratio' ? (median_ratio === null ? null : Math.abs(median_ratio - 1)) : Math.abs(median_difference);
  return effect === null || effect < minimum.value;
}

function effectText(metric: Metric): string {
  const { minimum, unit } = METRICS[metric];
  return minimum!.of === 'ratio' ? `${100 * minimum!.value} %` : `${minimum!.value} ${unit}`;
}
