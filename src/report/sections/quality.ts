/** Whether the runs learned, and the same: loss curves, perplexity, and the check of the drop against noise. */
import type { RunRecord } from '../../results/run-schema.ts';
import { median } from '../../results/statistics.ts';
import type { ArmSummary, SuiteSummary } from '../../results/summary-schema.ts';
import { armLabel, goodRuns, groupLabel, groupOf, orderedArms, runLabel } from '../arms.ts';
import { type LossCurve, lossChart, lossDifferenceChart } from '../charts/loss.ts';
import { perplexityChart } from '../charts/perplexity.ts';
import { MOST_CURVES, MOST_RUN_ROWS } from '../charts/rows.ts';
import { type Block, countFigure, figure, fixedFigure, paragraph, type Section, type Table } from '../document.ts';
import { formatFixed, withSign } from '../format.ts';
import { lossFigure } from './verdict.ts';

/** A drop below this many standard deviations of the final losses could be the seed's doing. */
const DROP_IN_SDS = 3;

/** Shows losses and evaluations; null where no run has either. */
export async function qualitySection(runs: readonly RunRecord[], summary: SuiteSummary): Promise<Section | null> {
  const arms = orderedArms(summary);
  const curves = arms
    .map((group) => lossCurve(groupLabel(group), goodRuns(runs, group)))
    .filter(({ points }) => points.length > 0);
  const evaluated = arms
    .flatMap((group) => goodRuns(runs, group))
    .filter((run) => run.eval_info.metrics !== null && run.eval_info.metrics_before !== null);
  const blocks: Block[] = [];
  if (curves.length > MOST_CURVES)
    blocks.push(
      paragraph(`The loss curves of ${curves.length} arms are left out: runs.csv and the run files hold them.`),
    );
  else if (curves.length > 0) {
    blocks.push(paragraph('The line is the median over the seeds, the band their range.'), await lossChart(curves));
    const differences = differenceCurves(runs, summary);
    if (differences.length > 0)
      blocks.push(await lossDifferenceChart(differences, armLabel(summary.comparison!.baseline)));
  }
  if (evaluated.length > 0) for (const block of await evaluationBlocks(evaluated, arms)) blocks.push(block);
  return blocks.length === 0 ? null : { id: 'quality', heading: 'Quality', blocks };
}

/** For each compared arm, its loss less the baseline's in the steps and seeds that both have. */
function differenceCurves(runs: readonly RunRecord[], { comparisons }: SuiteSummary): LossCurve[] {
  const losses = (run: RunRecord) => new Map(run.train_info.history.map(({ step, loss }) => [step, loss]));
  return comparisons.flatMap(({ baseline, treatment, case: name }) => {
    const references = new Map(
      goodRuns(runs, { arm: baseline, case: name }).map((run) => [run.run_info.seed, losses(run)]),
    );
    const bySteps = new Map<number, number[]>();
    for (const run of goodRuns(runs, { arm: treatment, case: name }))
      for (const [step, loss] of losses(run)) {
        const reference = references.get(run.run_info.seed)?.get(step) ?? null;
        if (loss !== null && reference !== null) bySteps.set(step, [...(bySteps.get(step) ?? []), loss - reference]);
      }
    const points = [...bySteps].sort(([a], [b]) => a - b).map(([step, values]) => ({ step, losses: values }));
    return points.length === 0 ? [] : [{ arm: groupLabel({ arm: treatment, case: name }), points }];
  });
}

function lossCurve(arm: string, runs: readonly RunRecord[]): LossCurve {
  const bySteps = new Map<number, number[]>();
  for (const { step, loss } of runs.flatMap((run) => run.train_info.history)) {
    if (loss !== null) bySteps.set(step, [...(bySteps.get(step) ?? []), loss]);
  }
  const points = [...bySteps].sort(([a], [b]) => a - b).map(([step, losses]) => ({ step, losses }));
  return { arm, points };
}

async function evaluationBlocks(evaluated: readonly RunRecord[], arms: readonly ArmSummary[]): Promise<Block[]> {
  return [
    paragraph('Each run was evaluated before its first update (ring) and after its last (dot) on the same tokens.'),
    ...(await perplexityBlocks(evaluated, arms)),
    evaluationTable(evaluated),
    paragraph(
      'Learning is told from noise where the smallest drop of the evaluation loss over the seeds exceeds ',
      `${DROP_IN_SDS} standard deviations of the final losses.`,
    ),
    learningTable(arms),
  ];
}

/** A row for each run or, where they are many, the medians of each arm. */
async function perplexityBlocks(evaluated: readonly RunRecord[], arms: readonly ArmSummary[]): Promise<Block[]> {
  if (evaluated.length <= MOST_RUN_ROWS) return [await perplexityChart(evaluated.map(perplexityRow))];
  const rows = arms.flatMap((group) => {
    const own = evaluated.filter((run) => groupLabel(groupOf(run)) === groupLabel(group)).map(perplexityRow);
    if (own.length === 0) return [];
    const [before, after] = [median(own.map((run) => run.before)), median(own.map((run) => run.after))];
    return [{ row: groupLabel(group), arm: armLabel(group.arm), before, after }];
  });
  return rows.length > MOST_RUN_ROWS ? [] : [await perplexityChart(rows)];
}

function perplexityRow(run: RunRecord) {
  const { metrics_before, metrics } = run.eval_info;
  const arm = armLabel(run.run_info.arm);
  return { row: runLabel(run), arm, before: metrics_before!.perplexity, after: metrics!.perplexity };
}

function evaluationTable(runs: readonly RunRecord[]): Table {
  return {
    kind: 'table',
    id: 'evaluation',
    caption: 'Evaluation before and after training',
    columns: ['run', 'tokens', 'loss before', 'loss after', 'change', 'perplexity before', 'perplexity after'],
    rows: runs.map((run) => {
      const before = run.eval_info.metrics_before!;
      const after = run.eval_info.metrics!;
      return [
        runLabel(run),
        countFigure(after.eval_loss.n),
        lossFigure(before.eval_loss.value),
        lossFigure(after.eval_loss.value),
        figure(after.eval_loss.value - before.eval_loss.value, (v) => withSign(v, (x) => formatFixed(x, 4))),
        fixedFigure(before.perplexity, 2),
        fixedFigure(after.perplexity, 2),
      ];
    }),
  };
}

function learningTable(arms: readonly ArmSummary[]): Table {
  return {
    kind: 'table',
    id: 'learning',
    caption: 'Learning against noise',
    columns: ['arm', 'n', 'smallest drop', 'sd of the final losses', 'drop in sds', `above ${DROP_IN_SDS}`],
    rows: arms.map((group) => {
      const { n, metrics } = group;
      const drop = metrics.eval_loss_drop?.min ?? null;
      const sd = metrics.eval_loss?.sd ?? null;
      const ratio = drop === null || sd === null || sd === 0 ? null : drop / sd;
      const verdict = drop === null || sd === null ? '–' : drop > DROP_IN_SDS * sd ? 'yes' : 'no';
      return [groupLabel(group), countFigure(n), lossFigure(drop), lossFigure(sd), fixedFigure(ratio, 1), verdict];
    }),
  };
}
