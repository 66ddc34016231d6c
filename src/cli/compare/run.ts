/** Does the work of `nibble compare`. */
import { stat } from 'node:fs/promises';
import { max as largest } from 'simple-statistics';
import { readRun } from '../../bench/read-runs.ts';
import { readSuiteFolder } from '../../bench/suite-folder.ts';
import { ConfigError } from '../../errors.ts';
import { counted, formatBytes, formatFixed, formatMs, formatPercent, withSign } from '../../report/format.ts';
import { type Change, compareSuites, comparisonObstacles, type SuiteComparison } from '../../results/compare-suites.ts';
import { groupText } from '../../results/groups.ts';
import type { RunRecord } from '../../results/run-schema.ts';
import { METRICS, type Metric } from '../../results/summary-schema.ts';
import type { CliContext } from '../shared/context.ts';
import { Told } from '../shared/failure.ts';
import type { CompareArgs } from './command.ts';

/** Differences that a refusal lists; more are counted. */
const MOST_LISTED = 8;

/**
 * Prints what changed from one set of results to another.
 * @throws ConfigError for results of other devices, weights, rows or settings; DataError; Told with exit code 1 where something
 * became worse
 */
export async function runCompare({ base, head, json }: CompareArgs, { stdout }: CliContext): Promise<void> {
  const [before, after] = [await runsAt(base), await runsAt(head)];
  const obstacles = comparisonObstacles(before, after);
  if (obstacles.length > 0) throw new ConfigError([{ path: '', message: refusal(base, head, obstacles) }]);
  const compared = compareSuites(before, after);
  const worse = compared.changes.filter(({ verdict }) => verdict === 'worse').length + compared.failures.length;
  stdout.write(
    json ? `${JSON.stringify({ regressions: worse, ...compared }, null, 2)}\n` : compareText(compared, worse),
  );
  if (worse > 0) throw new Told(1);
}

async function runsAt(place: string): Promise<readonly RunRecord[]> {
  const isFile = (await stat(place).catch(() => null))?.isFile() === true;
  return isFile ? [await readRun(place)] : (await readSuiteFolder(place)).runs;
}

function refusal(base: string, head: string, obstacles: readonly string[]): string {
  const more = obstacles.length > MOST_LISTED ? `\n  and ${obstacles.length - MOST_LISTED} more` : '';
  return `${base} and ${head} cannot be compared; give results of one suite on one device:\n  ${obstacles.slice(0, MOST_LISTED).join('\n  ')}${more}`;
}

/** A table, why nothing is decided where nothing is, and a last line that counts. */
export function compareText({ changes, failures, notices }: SuiteComparison, worse: number): string {
  const rows = [['', 'metric', 'base', 'head', 'change', 'interval', 'n', 'verdict'], ...changes.map(rowOf)];
  const widths = rows[0]!.map((_, i) => largest(rows.map((row) => row[i]!.length)));
  const table = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
  const why = new Map<string, string>();
  for (const { metric, verdict, paired } of changes)
    if (verdict === 'undecided' && paired.median_difference !== 0 && paired.undecided_because.length > 0)
      why.set(METRICS[metric].label, paired.undecided_because.join('; '));
  const last =
    worse > 0 ? `${counted(worse, 'regression')}` : `No regression in ${counted(changes.length, 'comparison')}`;
  return `${[
    ...table,
    ...[...why].map(([label, reasons]) => `~ ${label}: ${reasons}`),
    ...failures.map((failure) => `failed now: ${failure}`),
    ...notices,
    last,
  ].join('\n')}\n`;
}

function rowOf({ arm, case: name, metric, base, head, paired, verdict }: Change): string[] {
  const { median_ratio: ratio, ratio_ci95, ratio_range, median_difference, difference_ci95, difference_range } = paired;
  const isLoss = METRICS[metric].kind === 'quality';
  const signed = (value: number): string =>
    isLoss ? withSign(value, (v) => formatFixed(v, 4)) : withSign(value - 1, formatPercent);
  const [low, high] = isLoss ? (difference_ci95 ?? difference_range) : (ratio_ci95 ?? ratio_range ?? [1, 1]);
  const hasInterval = (isLoss ? difference_ci95 : ratio_ci95) !== null;
  return [
    groupText({ arm, case: name }),
    METRICS[metric].label,
    valueText(metric, base),
    valueText(metric, head),
    isLoss || ratio !== null ? signed(isLoss ? median_difference : ratio!) : '–',
    `${signed(low)} to ${signed(high)}${hasInterval ? '' : ' (range)'}`,
    String(paired.n),
    verdict === 'undecided' ? '~' : verdict,
  ];
}

function valueText(metric: Metric, value: number): string {
  const { kind } = METRICS[metric];
  if (kind === 'bytes') return formatBytes(value);
  return kind === 'speed' ? formatMs(value) : formatFixed(value, 4);
}
