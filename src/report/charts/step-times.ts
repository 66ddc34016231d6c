/** Measured steps as dots, a row for each run, the run's median as a bar. */
import type { Chart } from '../document.ts';
import { formatMs } from '../format.ts';
import { armScale, closeDomain } from './axis.ts';
import { renderChart } from './render.ts';
import { INK } from './theme.ts';
import { thinnedDots } from './thin.ts';

export type RunSteps = {
  readonly row: string;
  readonly arm: string;
  readonly medianMs: number;
  readonly stepsMs: readonly number[];
};

/** Draws rows in the order given; arms are coloured in the order in which they appear. */
export function stepTimeChart(runs: readonly RunSteps[]): Promise<Chart> {
  const arms = [...new Set(runs.map(({ arm }) => arm))];
  const steps = runs.flatMap(({ row, arm, stepsMs }) => thinnedDots(stepsMs).map((ms) => ({ row, arm, ms })));
  const medians = runs.map(({ row, arm, medianMs }) => ({ row, arm, ms: medianMs }));
  const y = { field: 'row', type: 'nominal', sort: runs.map(({ row }) => row), title: null, axis: { grid: true } };
  const x = {
    field: 'ms',
    type: 'quantitative',
    title: 'step time, ms',
    scale: { domain: closeDomain(steps.map(({ ms }) => ms)), nice: true },
  };
  const color = {
    field: 'arm',
    type: 'nominal',
    scale: armScale(arms),
    legend: null,
  };
  return renderChart(
    {
      name: 'step-times',
      title: 'Step times of every run',
      description: `Median by run: ${runs.map(({ row, medianMs }) => `${row} ${formatMs(medianMs)}`).join('; ')}`,
    },
    {
      height: 64 + 34 * runs.length,
      layer: [
        {
          data: { values: steps },
          mark: { type: 'circle', size: 55, opacity: 0.5 },
          encoding: { y, x, color },
        },
        {
          data: { values: medians },
          mark: { type: 'tick', thickness: 3, size: 24, color: INK },
          encoding: { y, x },
        },
      ],
    },
  );
}
