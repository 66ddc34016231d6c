/** How the ratio of step times falls with the tokens of a micro-step, where the cases of a suite differ in them. */
import type { RunRecord } from '../../results/run-schema.ts';
import type { SuiteSummary } from '../../results/summary-schema.ts';
import { tokensLaw } from '../../results/tokens-fit.ts';
import { armLabel } from '../arms.ts';
import { tokensChart } from '../charts/tokens.ts';
import { countFigure, fixedFigure, paragraph, ratioFigure, type Section } from '../document.ts';

/** Shows the fitted law of two arms; null where fewer than three cases differ in their tokens, or more than two arms ran. */
export async function tokensSection(
  runs: readonly RunRecord[],
  { comparisons }: SuiteSummary,
): Promise<Section | null> {
  const [first] = comparisons;
  const isOnePair = comparisons.every(({ treatment }) => treatment === first?.treatment);
  const fit = first !== undefined && isOnePair ? tokensLaw(runs, comparisons) : null;
  if (first === undefined || fit === null) return null;
  return {
    id: 'tokens',
    heading: 'Over the tokens of a micro-step',
    blocks: [
      paragraph(
        `What ${armLabel(first.treatment)} adds to a step of ${armLabel(first.baseline)} is in part the same however many tokens the step has, as dequantizing `,
        'is. Of T tokens the ratio of the times is then a + c / T. Least squares over the cases: a = ',
        fixedFigure(fit.a, 3),
        ' ± ',
        fixedFigure(fit.aError, 3),
        ', c = ',
        fixedFigure(fit.c, 1),
        ' ± ',
        fixedFigure(fit.cError, 1),
        ' tokens (95 % intervals by the scatter of the cases); the farthest case is ',
        fixedFigure(fit.worst, 3),
        ' from the law.',
      ),
      await tokensChart(fit),
      {
        kind: 'table',
        id: 'tokens-table',
        caption: `${armLabel(first.treatment)} over ${armLabel(first.baseline)}, medians of pairs`,
        columns: ['tokens of a micro-step', 'step time', 'the law', 'peak memory'],
        rows: fit.points.map(({ tokens, timeRatio, memoryRatio }) => [
          countFigure(tokens),
          ratioFigure(timeRatio),
          ratioFigure(fit.a + fit.c / tokens),
          ratioFigure(memoryRatio),
        ]),
      },
    ],
  };
}
