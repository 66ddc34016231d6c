/** The table of an evaluation in a terminal: a line for each model under each metric. */
import type { LossRow, MetricCell, MetricRow } from '../../eval/table.ts';
import { formatCount, formatFixed, withSign } from '../../report/format.ts';
import type { McNemar } from '../../results/proportion.ts';
import type { Interval } from '../../results/statistics.ts';

type Tables = {
  readonly tasks: readonly MetricRow[];
  readonly datasets: readonly LossRow[];
  readonly texts: readonly LossRow[];
};

const DECIMALS = 4;
/** Below this a p-value is shown as being below it. */
const SMALLEST_P = 0.001;

/** Every table there is something in, the others left out. */
export function evalTables({ tasks, datasets, texts }: Tables): string {
  const parts = [
    tasks.length === 0 ? [] : [TASK_HEAD, ...tasks.flatMap(taskLines)],
    datasets.length === 0 ? [] : [lossHead('dataset', 'rows'), ...datasets.flatMap(lossLines)],
    texts.length === 0 ? [] : [lossHead('text', 'windows'), ...texts.flatMap(lossLines)],
  ];
  const shown = parts.filter((lines) => lines.length > 0).map(inColumns);
  return `${shown.join('\n\n')}\n`;
}

const TASK_HEAD = ['task', 'metric', 'filter', 'items', 'model', 'value', 'stderr', '95 %', 'against'];
const lossHead = (what: string, unit: string): string[] => [
  what,
  unit,
  'tokens',
  'model',
  'loss',
  'perplexity',
  'stderr',
  '95 %',
  'against',
];

function taskLines({ task, metric, filter, n, models, higher_is_better, comparisons }: MetricRow): string[][] {
  const arrow = higher_is_better ? '↑' : '↓';
  return models.map((cell, i) => {
    const test = comparisons.find(({ first, second }) => first === models[0]!.model && second === cell.model);
    const head = i === 0 ? [task, `${metric} ${arrow}`, filter, formatCount(n)] : ['', '', '', ''];
    return [...head, cell.model, ...valueColumns(cell), test === undefined ? '' : testInWords(models[0]!.model, test)];
  });
}

function valueColumns({ value, stderr, ci95 }: MetricCell): string[] {
  return [formatFixed(value, DECIMALS), stderr === null ? '' : `± ${formatFixed(stderr, DECIMALS)}`, interval(ci95)];
}

function testInWords(first: string, { only_first, only_second, p_value }: McNemar): string {
  const p = p_value < SMALLEST_P ? `p < ${SMALLEST_P}` : `p = ${formatFixed(p_value, 3)}`;
  return `${first}: ${only_second} gained, ${only_first} lost, ${p}`;
}

function lossLines({ name, rows, tokens, models, differences }: LossRow): string[][] {
  return models.map(({ model, loss, perplexity, stderr, ci95 }, i) => {
    const head = i === 0 ? [name, formatCount(rows), formatCount(tokens)] : ['', '', ''];
    const found = differences.find(({ first, second }) => first === models[0]!.model && second === model);
    const change = found?.difference ?? null;
    const against =
      change === null
        ? ''
        : `${found!.first}: ${withSign(change.value, (value) => formatFixed(value, DECIMALS))} ± ${formatFixed(change.stderr, DECIMALS)}`;
    const error = stderr === null ? '' : `± ${formatFixed(stderr, DECIMALS)}`;
    return [...head, model, formatFixed(loss, DECIMALS), formatFixed(perplexity, 3), error, interval(ci95), against];
  });
}

const interval = (ci95: Interval | null): string =>
  ci95 === null ? '' : `${formatFixed(ci95[0], DECIMALS)} to ${formatFixed(ci95[1], DECIMALS)}`;

/** Columns as wide as their widest cell; those that are empty are left out. */
function inColumns(lines: readonly (readonly string[])[]): string {
  const [head = [], ...body] = lines;
  const kept = head.map((_, column) => body.some((line) => line[column] !== ''));
  const shown = lines.map((line) => line.filter((_, column) => kept[column]));
  const widths = shown[0]!.map((_, column) => Math.max(...shown.map((line) => line[column]!.length)));
  return shown
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
