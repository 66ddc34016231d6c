/** The ratio of step times over the tokens of a micro-step, and the law fitted to it. */
import { max as largest, min as smallest } from 'simple-statistics';
import type { TokensFit } from '../../results/tokens-fit.ts';
import type { Chart } from '../document.ts';
import { formatCount, formatRatio } from '../format.ts';
import { armScale, closeDomain } from './axis.ts';
import { renderChart } from './render.ts';
import { armColor, MUTED } from './theme.ts';

/** Points of the drawn law: enough for a smooth line on a logarithmic axis. */
const CURVE_POINTS = 60;
const TIME = 'step time';
const MEMORY = 'peak memory';

/** Draws dots for both ratios of each case and the law as a line, tokens on a logarithmic axis. */
export function tokensChart({ points, a, c }: TokensFit): Promise<Chart> {
  const tokens = points.map((point) => point.tokens);
  const [low, high] = [smallest(tokens), largest(tokens)];
  const law = Array.from({ length: CURVE_POINTS }, (_, i) => {
    const at = low * (high / low) ** (i / (CURVE_POINTS - 1));
    return { tokens: at, ratio: a + c / at };
  });
  const times = points.map((point) => ({ tokens: point.tokens, ratio: point.timeRatio, what: TIME }));
  const peaks = points.flatMap(({ tokens: at, memoryRatio }) =>
    memoryRatio === null ? [] : [{ tokens: at, ratio: memoryRatio, what: MEMORY }],
  );
  const values = [...times, ...peaks];
  // the line where both arms are equal belongs to the picture
  const ratios = [1, ...[...law, ...values].map(({ ratio }) => ratio)];
  const x = {
    field: 'tokens',
    type: 'quantitative',
    title: 'tokens of a micro-step (log scale)',
    scale: { type: 'log', domain: [low * 0.9, high * 1.1], nice: false },
    axis: { grid: false, values: [...new Set(tokens)], format: ',d', labelOverlap: true },
  };
  const y = {
    field: 'ratio',
    type: 'quantitative',
    title: 'ratio',
    scale: { domain: closeDomain(ratios), nice: true, zero: false },
  };
  const color = {
    field: 'what',
    type: 'nominal',
    scale: armScale([TIME, MEMORY]),
    legend: { symbolType: 'circle' },
  };
  return renderChart(
    {
      name: 'tokens',
      title: 'Ratio of step time and peak memory over the tokens of a micro-step, and the law a + c / T of time',
      description: points
        .map((p) => `${formatCount(p.tokens)} tokens ${formatRatio(p.timeRatio)}, memory ${formatRatio(p.memoryRatio)}`)
        .join('; '),
    },
    {
      height: 320,
      layer: [
        { data: { values: [{ ratio: 1 }] }, mark: { type: 'rule', strokeDash: [3, 4], color: MUTED }, encoding: { y } },
        { data: { values: law }, mark: { type: 'line', strokeWidth: 2, color: armColor(0) }, encoding: { x, y } },
        {
          data: { values: peaks },
          mark: { type: 'line', strokeWidth: 1, strokeDash: [4, 4] },
          encoding: { x, y, color },
        },
        { data: { values }, mark: { type: 'circle', size: 90, opacity: 1 }, encoding: { x, y, color } },
      ],
    },
  );
}
