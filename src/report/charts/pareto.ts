/** Arms by peak memory and final loss, and the line of those that no other beats in both. */
import { max as largest } from 'simple-statistics';
import type { Chart } from '../document.ts';
import { formatBytes, formatFixed } from '../format.ts';
import { byteAxis, closeDomain, legendColumns } from './axis.ts';
import { renderChart } from './render.ts';
import { armColor, INK, MUTED } from './theme.ts';

export type ParetoPoint = { readonly label: string; readonly bytes: number; readonly loss: number };

/** Points that no other has at most the bytes and at most the loss of, by their bytes. */
export function unbeaten(points: readonly ParetoPoint[]): ParetoPoint[] {
  const beats = (a: ParetoPoint, b: ParetoPoint): boolean =>
    a.bytes <= b.bytes && a.loss <= b.loss && (a.bytes < b.bytes || a.loss < b.loss);
  return points
    .filter((point) => !points.some((other) => beats(other, point)))
    .sort((a, b) => a.bytes - b.bytes || b.loss - a.loss);
}

/** Draws a dot for each arm; names stand in the legend, since beside their dots they would lie over each other. */
export function paretoChart(points: readonly ParetoPoint[]): Promise<Chart> {
  const { unit, unitBytes } = byteAxis(largest(points.map(({ bytes }) => bytes)));
  const dots = points.map((point) => ({
    size: point.bytes / unitBytes,
    loss: point.loss,
    arm: point.label,
  }));
  const best = unbeaten(points).map(({ bytes, loss }) => ({ size: bytes / unitBytes, loss }));
  const arms = dots.map(({ arm }) => arm);
  const x = {
    field: 'size',
    type: 'quantitative',
    title: `peak memory, ${unit}`,
    scale: { domain: closeDomain(dots.map(({ size }) => size)), nice: true, zero: false },
    axis: { grid: true },
  };
  const y = {
    field: 'loss',
    type: 'quantitative',
    title: 'final evaluation loss, nats/token',
    scale: { domain: closeDomain(dots.map(({ loss }) => loss)), nice: true, zero: false },
  };
  const shapes = ['circle', 'square', 'diamond', 'triangle-up', 'triangle-down', 'cross'];
  const style = { field: 'arm', type: 'nominal' } as const;
  const colors = { domain: arms, range: arms.map((_, i) => armColor(i)) };
  const forms = { domain: arms, range: arms.map((_, i) => shapes[i % shapes.length]) };
  return renderChart(
    {
      name: 'pareto',
      title: 'Peak memory and final evaluation loss of every arm',
      description: points
        .map(({ label, bytes, loss }) => `${label} ${formatBytes(bytes)} ${formatFixed(loss, 4)}`)
        .join('; '),
    },
    {
      height: 360,
      layer: [
        {
          data: { values: best },
          mark: { type: 'line', interpolate: 'step-after', strokeDash: [4, 4], color: MUTED },
          encoding: { x, y },
        },
        {
          data: { values: dots },
          mark: { type: 'point', filled: true, size: 130, opacity: 0.9, stroke: INK, strokeWidth: 0.5 },
          encoding: {
            x,
            y,
            color: { ...style, scale: colors, legend: { symbolLimit: 0, columns: legendColumns(arms) } },
            shape: { ...style, scale: forms },
          },
        },
      ],
    },
  );
}
