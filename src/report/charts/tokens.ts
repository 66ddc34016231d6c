/** The ratio of step times over the tokens of a micro-step, and the law fitted to it. */
import { max as largest, min as smallest } from 'simple-statistics';
import type { TokensFit } from '../../results/tokens-fit.ts';
import type { Chart } from '../document.ts';
import { formatCount, formatRatio } from '../format.ts';
import { closeDomain } from './axis.ts';
import { renderChart } from './render.ts';
import { armColor, INK } from './theme.ts';

/** Points of the drawn law: enough for a smooth line on a logarithmic axis. */
const CURVE_POINTS = 60;

/** Draws a dot for each case and the law as a line, tokens on a logarithmic axis. */
export function tokensChart({ points, a, c }: TokensFit): Promise<Chart> {
  const tokens = points.map((point) => point.tokens);
  const [low, high] = [smallest(tokens), largest(tokens)];
  const law = Array.from({ length: CURVE_POINTS }, (_, i) => {
    const at = low * (high / low) ** (i / (CURVE_POINTS - 1));
    return { tokens: at, ratio: a + c / at };
  });
  const values = points.map((point) => ({ tokens: point.tokens, ratio: point.timeRatio }));
  const ratios = [...law, ...values].map(({ ratio }) => ratio);
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
    title: 'step time, ratio',
    scale: { domain: closeDomain(ratios), nice: true, zero: false },
  };
  return renderChart(
    {
      name: 'tokens',
      title: 'Step time over the tokens of a micro-step, and the law a + c / T',
      description: points.map((p) => `${formatCount(p.tokens)} tokens ${formatRatio(p.timeRatio)}`).join('; '),
    },
    {
      height: 320,
      layer: [
        { data: { values: law }, mark: { type: 'line', strokeWidth: 2, color: armColor(1) }, encoding: { x, y } },
        { data: { values }, mark: { type: 'circle', size: 90, opacity: 1, color: INK }, encoding: { x, y } },
      ],
    },
  );
}
