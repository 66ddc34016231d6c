/** Predicted peak memory of larger models, against the memory of common cards. */
import { max as largest, min as smallest } from 'simple-statistics';
import type { ScaleUp } from '../../results/summary-schema.ts';
import { armLabel } from '../arms.ts';
import type { Chart } from '../document.ts';
import { formatBytes } from '../format.ts';
import { armScale } from './axis.ts';
import { renderChart } from './render.ts';
import { MUTED } from './theme.ts';

const GIB = 1024 ** 3;
// memory of cards on sale, from a laptop's to a data centre's
const CARDS_GIB = [8, 16, 24, 48, 80, 141];

/** Draws a row for each model and a mark for each method, on a logarithmic axis: 1B and 65B are a factor of fifty apart. */
export function scaleChart(scaleUp: ScaleUp): Promise<Chart> {
  const points = scaleUp.models.flatMap((model) =>
    model.predictions.map(({ method, peak }) => ({
      model: model.name,
      method: armLabel(method),
      size: peak / GIB,
      peak,
    })),
  );
  const methods = [...new Set(points.map(({ method }) => method))];
  const sizes = points.map(({ size }) => size);
  const domain = [smallest(sizes) * 0.75, largest(sizes) * 1.35];
  const cards = CARDS_GIB.filter((card) => card > domain[0]! && card < domain[1]!).map((size) => ({
    size,
    text: `${size} GiB`,
  }));
  const x = {
    field: 'size',
    type: 'quantitative',
    title: 'predicted peak memory, GiB (log scale)',
    scale: { type: 'log', domain, nice: false },
    axis: { grid: false, format: '~r', values: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
  };
  const y = {
    field: 'model',
    type: 'nominal',
    sort: scaleUp.models.map(({ name }) => name),
    title: null,
    axis: { grid: true },
  };
  const method = {
    field: 'method',
    type: 'nominal',
    scale: armScale(methods),
    // clears the row of card sizes above the plot
    legend: { offset: 30 },
  };
  const shape = {
    field: 'method',
    type: 'nominal',
    scale: { domain: methods, range: ['circle', 'diamond', 'square'] },
  };
  return renderChart(
    {
      name: 'scale',
      title: 'Predicted peak memory of larger models',
      description: points.map((point) => `${point.model} ${point.method} ${formatBytes(point.peak)}`).join('; '),
    },
    {
      height: 110 + 58 * scaleUp.models.length,
      layer: [
        {
          data: { values: cards },
          mark: { type: 'rule', strokeDash: [3, 4], color: MUTED, opacity: 0.8 },
          encoding: { x },
        },
        {
          data: { values: cards },
          mark: { type: 'text', y: -4, baseline: 'bottom', color: MUTED, fontSize: 12 },
          encoding: { x, text: { field: 'text' } },
        },
        {
          data: { values: points },
          mark: { type: 'point', filled: true, size: 130, opacity: 1 },
          encoding: { x, y, color: method, shape },
        },
      ],
    },
  );
}
