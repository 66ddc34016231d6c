/** Training loss by step: the median over the seeds as a line, their range as a band. */
import { max as largest, min as smallest } from 'simple-statistics';
import { median } from '../../results/statistics.ts';
import type { Chart } from '../document.ts';
import { formatFixed } from '../format.ts';
import { armScale, closeDomain, legendColumns } from './axis.ts';
import { renderChart } from './render.ts';
import { MUTED } from './theme.ts';
import { type LossPoint, thinnedCurve } from './thin.ts';

export type LossCurve = { readonly arm: string; readonly points: readonly { step: number; losses: number[] }[] };

/** Draws a curve for each arm, coloured in the order given. */
export function lossChart(curves: readonly LossCurve[]): Promise<Chart> {
  return bandChart(curves, {
    name: 'loss',
    title: 'Training loss, median and range over the seeds',
    yTitle: 'training loss, nats/token',
    isDifference: false,
  });
}

/** Draws what each arm lies above its baseline, seed by seed: two curves of losses lie on each other. */
export function lossDifferenceChart(curves: readonly LossCurve[], baseline: string): Promise<Chart> {
  return bandChart(curves, {
    name: 'loss-difference',
    title: `Training loss less that of ${baseline} with the same seed, median and range`,
    yTitle: 'difference, nats/token',
    isDifference: true,
  });
}

type BandText = {
  readonly name: string;
  readonly title: string;
  readonly yTitle: string;
  readonly isDifference: boolean;
};

function bandChart(curves: readonly LossCurve[], { name, title, yTitle, isDifference }: BandText): Promise<Chart> {
  const whole = curves.map(({ arm, points }) => ({ arm, points: points.map(lossPoint) }));
  const values = whole.flatMap(({ arm, points }) => thinnedCurve(points).map((point) => ({ arm, ...point })));
  const arms = curves.map(({ arm }) => arm);
  const x = {
    field: 'step',
    type: 'quantitative',
    title: 'step',
    axis: { grid: false, tickMinStep: 1, tickCount: 12 },
    scale: { nice: false },
  };
  const domain = closeDomain([...values.flatMap(({ low, high }) => [low, high]), ...(isDifference ? [0] : [])]);
  const y = { type: 'quantitative', title: yTitle, scale: { domain, nice: true } };
  const color = {
    field: 'arm',
    type: 'nominal',
    // the baseline of differences has the first colour everywhere else
    scale: armScale(arms, isDifference ? 1 : 0),
    legend: { symbolType: 'square', symbolOpacity: 1, columns: legendColumns(arms) },
  };
  const ends = whole.map(({ arm, points }) => ({ arm, ...points.at(-1)! }));
  return renderChart(
    {
      name,
      title,
      description: ends
        .map(({ arm, step, loss }) => `${arm} ends at ${formatFixed(loss, 3)} in step ${step}`)
        .join('; '),
    },
    {
      height: 340,
      layer: [
        ...(isDifference ? [ZERO] : []),
        {
          data: { values },
          mark: { type: 'area', opacity: 0.2 },
          encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
        },
        {
          data: { values },
          mark: { type: 'line', strokeWidth: 2.25 },
          encoding: { x, y: { ...y, field: 'loss' }, color },
        },
      ],
    },
  );
}

const ZERO = {
  data: { values: [{ zero: 0 }] },
  mark: { type: 'rule', strokeDash: [3, 4], color: MUTED },
  encoding: { y: { field: 'zero', type: 'quantitative' } },
};

function lossPoint({ step, losses }: LossCurve['points'][number]): LossPoint {
  return { step, loss: median(losses), low: smallest(losses), high: largest(losses) };
}
