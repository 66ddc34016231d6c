/** Training loss by step: the median over the seeds as a line, their range as a band. */
import { max as largest, min as smallest } from 'simple-statistics';
import { median } from '../../results/statistics.ts';
import type { Chart } from '../document.ts';
import { formatFixed } from '../format.ts';
import { armScale, closeDomain } from './axis.ts';
import { renderChart } from './render.ts';
import { type LossPoint, thinnedCurve } from './thin.ts';

export type LossCurve = { readonly arm: string; readonly points: readonly { step: number; losses: number[] }[] };

/** Draws a curve for each arm, coloured in the order given. */
export function lossChart(curves: readonly LossCurve[]): Promise<Chart> {
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
  const domain = closeDomain(values.flatMap(({ low, high }) => [low, high]));
  const y = { type: 'quantitative', title: 'training loss, nats/token', scale: { domain, nice: true } };
  const color = {
    field: 'arm',
    type: 'nominal',
    scale: armScale(arms),
    legend: { symbolType: 'square', symbolOpacity: 1 },
  };
  const ends = whole.map(({ arm, points }) => ({ arm, ...points.at(-1)! }));
  return renderChart(
    {
      name: 'loss',
      title: 'Training loss, median and range over the seeds',
      description: ends
        .map(({ arm, step, loss }) => `${arm} ends at ${formatFixed(loss, 3)} in step ${step}`)
        .join('; '),
    },
    {
      height: 340,
      layer: [
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

function lossPoint({ step, losses }: LossCurve['points'][number]): LossPoint {
  return { step, loss: median(losses), low: smallest(losses), high: largest(losses) };
}
