/** Perplexity of every run before (ring) and after (dot) training. */
import { max as largest, min as smallest } from 'simple-statistics';
import type { Chart } from '../document.ts';
import { formatFixed } from '../format.ts';
import { armScale } from './axis.ts';
import { renderChart } from './render.ts';
import { INK, MUTED } from './theme.ts';

// on a log axis, room for a label is a factor
const LABEL_ROOM_LOW = 0.88;
const LABEL_ROOM_HIGH = 1.1;

export type RunPerplexity = {
  readonly row: string;
  readonly arm: string;
  readonly before: number;
  readonly after: number;
};

/** Draws rows in the order given. */
export function perplexityChart(runs: readonly RunPerplexity[]): Promise<Chart> {
  const arms = [...new Set(runs.map(({ arm }) => arm))];
  const values = runs.map((run) => ({ ...run, from: formatFixed(run.before, 2), to: formatFixed(run.after, 2) }));
  const ends = runs.flatMap(({ before, after }) => [before, after]);
  const domain = [smallest(ends) * LABEL_ROOM_LOW, largest(ends) * LABEL_ROOM_HIGH];
  const y = { field: 'row', type: 'nominal', sort: runs.map(({ row }) => row), title: null };
  const at = (field: string) => ({
    field,
    type: 'quantitative',
    title: 'perplexity on the evaluation set (log scale)',
    scale: { type: 'log', domain, nice: false },
    axis: { tickCount: 6 },
  });
  const color = {
    field: 'arm',
    type: 'nominal',
    scale: armScale(arms),
    legend: null,
  };
  const label = { type: 'text', fontSize: 12, color: INK };
  return renderChart(
    {
      name: 'perplexity',
      title: 'Perplexity before and after training',
      description: values.map(({ row, from, to }) => `${row} from ${from} to ${to}`).join('; '),
    },
    {
      height: 64 + 34 * runs.length,
      layer: [
        {
          data: { values },
          mark: { type: 'rule', strokeWidth: 2, opacity: 0.55 },
          encoding: { y, x: at('after'), x2: { field: 'before' }, color },
        },
        {
          data: { values },
          mark: { type: 'point', size: 70, strokeWidth: 2, filled: false, fill: 'var(--surface)', color: MUTED },
          encoding: { y, x: at('before'), color },
        },
        { data: { values }, mark: { type: 'circle', size: 90, opacity: 1 }, encoding: { y, x: at('after'), color } },
        {
          data: { values },
          mark: { ...label, align: 'right', dx: -10 },
          encoding: { y, x: at('after'), text: { field: 'to' } },
        },
        {
          data: { values },
          mark: { ...label, align: 'left', dx: 10 },
          encoding: { y, x: at('before'), text: { field: 'from' } },
        },
      ],
    },
  );
}
