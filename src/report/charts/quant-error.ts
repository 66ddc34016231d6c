/** Root mean squared error of quantizing by decoder layer, a line for each way to store the base. */
import { max as largest, min as smallest } from 'simple-statistics';
import type { RunRecord } from '../../results/run-schema.ts';
import type { Chart } from '../document.ts';
import { armScale, legendColumns } from './axis.ts';
import { renderChart } from './render.ts';

type Tensors = readonly NonNullable<RunRecord['train_info']['quantization_error']>[number][];

/** Room above the highest line; an error is a ratio's kind of number, and its axis starts at zero. */
const ROOM = 1.08;

/** The number of the decoder layer that a weight belongs to; null for one outside of them. */
function layerOf(name: string): number | null {
  const [, layer] = /(?:^|\.)layers\.(\d+)\./.exec(name) ?? [];
  return layer === undefined ? null : Number(layer);
}

/** Mean squared error over all elements of each layer, its root taken. */
function byLayer(tensors: Tensors): { layer: number; rmse: number }[] {
  const sums = new Map<number, { squares: number; elements: number }>();
  for (const { name, rmse, elements } of tensors) {
    const layer = layerOf(name);
    if (layer === null) continue;
    const { squares, elements: before } = sums.get(layer) ?? { squares: 0, elements: 0 };
    sums.set(layer, { squares: squares + rmse * rmse * elements, elements: before + elements });
  }
  return [...sums]
    .sort(([a], [b]) => a - b)
    .map(([layer, { squares, elements }]) => ({ layer, rmse: Math.sqrt(squares / elements) }));
}

/** Draws arms in the order given. */
export function quantErrorChart(arms: readonly { readonly arm: string; readonly tensors: Tensors }[]): Promise<Chart> {
  const values = arms.flatMap(({ arm, tensors }) => byLayer(tensors).map((point) => ({ arm, ...point })));
  const names = arms.map(({ arm }) => arm);
  const layers = [...new Set(values.map(({ layer }) => layer))];
  const x = {
    field: 'layer',
    type: 'quantitative',
    title: 'decoder layer',
    scale: { nice: false, domain: [smallest(layers) - 0.25, largest(layers) + 0.25] },
    axis: { grid: false, values: layers, format: 'd' },
  };
  const y = {
    field: 'rmse',
    type: 'quantitative',
    title: 'RMSE of the weights',
    scale: { domain: [0, largest(values.map(({ rmse }) => rmse)) * ROOM], nice: true },
  };
  const legend = { symbolType: 'circle', columns: legendColumns(names) };
  const color = { field: 'arm', type: 'nominal', scale: armScale(names), legend };
  return renderChart(
    {
      name: 'quantization-error',
      title: 'Error of quantizing by layer',
      description: values.map(({ arm, layer, rmse }) => `${arm} layer ${layer} ${rmse.toExponential(3)}`).join('; '),
    },
    {
      height: 300,
      layer: [
        { data: { values }, mark: { type: 'line', strokeWidth: 2 }, encoding: { x, y, color } },
        { data: { values }, mark: { type: 'circle', size: 70, opacity: 1 }, encoding: { x, y, color } },
      ],
    },
  );
}
