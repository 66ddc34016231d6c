/** Step times and throughput: every step drawn, medians in a table, where the rest of the time went. */

import { UNDECIDED } from '../../results/paired.ts';
import type { RunRecord } from '../../results/run-schema.ts';
import { median } from '../../results/statistics.ts';
import type { SuiteSummary } from '../../results/summary-schema.ts';
import { armLabel, goodRuns, groupLabel, groupOf, orderedArms, runLabel } from '../arms.ts';
import { MOST_RUN_ROWS } from '../charts/rows.ts';
import { type RunSteps, stepTimeChart } from '../charts/step-times.ts';
import { MOST_MARKS } from '../charts/thin.ts';
import {
  type Block,
  fixedFigure,
  type Inline,
  msFigure,
  paragraph,
  ratioFigure,
  type Section,
  secondsFigure,
  type Table,
} from '../document.ts';
import { counted } from '../format.ts';

type Timing = RunRecord['train_info']['timing'];
const PHASES: readonly (readonly [keyof Timing, string])[] = [
  ['startup_s', 'start'],
  ['hash_s', 'hash'],
  ['load_s', 'load'],
  ['quantize_s', 'quantize'],
  ['compile_s', 'compile pipelines'],
  ['warmup_s', 'warm up'],
  ['train_s', 'train'],
  ['eval_s', 'evaluate'],
  ['checkpoint_s', 'checkpoint'],
  ['save_s', 'save'],
  ['other_s', 'other'],
];

/** Shows step times and throughput; null where no run measured a step. */
export async function speedSection(runs: readonly RunRecord[], summary: SuiteSummary): Promise<Section | null> {
  const timed = orderedArms(summary)
    .flatMap((group) => goodRuns(runs, group))
    .filter((run) => run.train_info.step_time_ms !== null);
  if (timed.length === 0) return null;
  const rows = timed.length <= MOST_RUN_ROWS ? timed.map(runSteps) : groupSteps(timed, summary);
  const excluded = [...new Set(timed.map((run) => run.train_info.excluded_warmup_steps ?? 0))].join(' or ');
  const blocks: Block[] = [
    paragraph(
      `A dot is a step, the bar is the median of ${timed.length <= MOST_RUN_ROWS ? 'the run' : 'the medians of the runs of an arm'}; warm-up steps left out: ${excluded} a run. `,
      ...thinningSentence(rows.map(({ stepsMs }) => stepsMs.length)),
      ...ratioSentence(summary),
    ),
    ...(rows.length <= MOST_RUN_ROWS ? [await stepTimeChart(rows)] : []),
    stepTable(timed),
    throughputTable(timed),
    { kind: 'details', summary: 'Where the time of a run went', blocks: [timingTable(timed)] },
  ];
  return { id: 'speed', heading: 'Speed', blocks };
}

function runSteps(run: RunRecord): RunSteps {
  const steps = run.train_info.step_time_ms!;
  const arm = armLabel(run.run_info.arm);
  return { row: runLabel(run), arm, medianMs: steps.p50, stepsMs: steps.values ?? [steps.p50] };
}

/** The steps of all runs of an arm in a row: a row for each run would be more than anybody looks at. */
function groupSteps(timed: readonly RunRecord[], summary: SuiteSummary): RunSteps[] {
  return orderedArms(summary).flatMap((group) => {
    const own = timed.filter((run) => groupLabel(groupOf(run)) === groupLabel(group)).map(runSteps);
    if (own.length === 0) return [];
    const medianMs = median(own.map((run) => run.medianMs));
    return [{ row: groupLabel(group), arm: armLabel(group.arm), medianMs, stepsMs: own.flatMap((run) => run.stepsMs) }];
  });
}

function thinningSentence(steps: readonly number[]): string[] {
  const isThinned = steps.some((count) => count > MOST_MARKS);
  const most = MOST_MARKS.toLocaleString('en-US');
  return isThinned
    ? [`Of a run with more steps, ${most} are drawn, evenly spaced by rank, both ends among them. `]
    : [];
}

function ratioSentence({ comparison, comparisons }: SuiteSummary): Inline[] {
  if (comparisons.length > 1) return [];
  const paired = comparison?.paired.step_time_ms ?? null;
  if (comparison === null || paired === null || paired.median_ratio === null) return [];
  const { median_ratio: ratio, ratio_ci95: ci, ratio_range: range, n, winner } = paired;
  const [low, high] = ci ?? range ?? [ratio, ratio];
  return [
    `A step of ${armLabel(comparison.treatment)} takes `,
    ratioFigure(ratio),
    ` the time of one of ${armLabel(comparison.baseline)}`,
    ci === null ? ' (range ' : ' (95 % interval ',
    ratioFigure(low),
    ' to ',
    ratioFigure(high),
    `), median of ${counted(n, 'pair')}, winner: ${winner === UNDECIDED ? 'none' : armLabel(winner)}.`,
  ];
}

function stepTable(runs: readonly RunRecord[]): Table {
  return {
    kind: 'table',
    id: 'step-times',
    caption: 'Step time by run',
    columns: ['run', 'steps', 'median', 'mean', 'sd', 'p90', 'p95', 'p99', 'min', 'max'],
    rows: runs.map((run) => {
      const { count, mean, sd, p50, p90, p95, p99, min, max } = run.train_info.step_time_ms!;
      return [runLabel(run), fixedFigure(count, 0), ...[p50, mean, sd, p90, p95, p99, min, max].map(msFigure)];
    }),
  };
}

function throughputTable(runs: readonly RunRecord[]): Table {
  return {
    kind: 'table',
    id: 'throughput',
    caption: 'Throughput by run',
    columns: ['run', 'tokens/s', 'loss tokens/s', 'padded tokens/s', 'samples/s', 'steps/s'],
    rows: runs.map((run) => {
      const t = run.train_info.throughput;
      const tokens = [t.tokens_per_second, t.loss_tokens_per_second, t.padded_tokens_per_second];
      const rest = [t.samples_per_second, t.steps_per_second];
      return [runLabel(run), ...tokens.map((v) => fixedFigure(v, 1)), ...rest.map((v) => fixedFigure(v, 3))];
    }),
  };
}

function timingTable(runs: readonly RunRecord[]): Table {
  const phases = PHASES.filter(([key]) => runs.some((run) => (run.train_info.timing[key] ?? null) !== null));
  return {
    kind: 'table',
    id: 'timing',
    caption: 'Seconds by phase; the timers do not overlap',
    columns: ['run', ...phases.map(([, label]) => label), 'total'],
    rows: runs.map((run) => [
      runLabel(run),
      ...phases.map(([key]) => secondsFigure(run.train_info.timing[key] ?? null)),
      secondsFigure(run.run_info.total_time),
    ]),
  };
}
