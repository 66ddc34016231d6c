/** Memory against quality: which arms no other beats in both. */
import type { SuiteSummary } from '../../results/summary-schema.ts';
import { groupLabel, medianOf, orderedArms } from '../arms.ts';
import { type ParetoPoint, paretoChart, unbeaten } from '../charts/pareto.ts';
import { MOST_RUN_ROWS } from '../charts/rows.ts';
import { paragraph, type Section } from '../document.ts';

/** Draws arms by their medians; null where fewer than two have both a peak and a final loss, and where cases ask for other work. */
export async function paretoSection(summary: SuiteSummary): Promise<Section | null> {
  if (new Set(summary.arms.map((group) => group.case)).size > 1) return null;
  const points = orderedArms(summary).flatMap((group): ParetoPoint[] => {
    const bytes = medianOf(summary, group, 'peak_memory_bytes');
    const loss = medianOf(summary, group, 'eval_loss');
    return bytes === null || loss === null ? [] : [{ label: groupLabel(group), bytes, loss }];
  });
  if (points.length < 2 || points.length > MOST_RUN_ROWS) return null;
  const best = unbeaten(points).map(({ label }) => label);
  return {
    id: 'pareto',
    heading: 'Memory against quality',
    blocks: [
      paragraph(
        'Medians over the seeds; further left needs less memory, further down ended at a lower loss. No other arm is better in both than ',
        `${best.join(', ')} by these medians, which say nothing of whether a difference is proven: the comparison above does.`,
      ),
      await paretoChart(points),
    ],
  };
}
