/** Fewer marks than a long run has steps, where no eye tells the difference: a chart is 820 pixels wide. */
import { median } from '../../results/statistics.ts';

/** The median over the seeds, and their range. */
export type LossPoint = { readonly step: number; readonly loss: number; readonly low: number; readonly high: number };

/** Marks of a run, or of a curve. */
export const MOST_MARKS = 1000;

/** Dots along a line that stand for all: the smallest, the largest, and evenly spaced ranks between. */
export function thinnedDots(values: readonly number[], most = MOST_MARKS): readonly number[] {
  if (values.length <= most) return values;
  const sorted = Float64Array.from(values).sort();
  return Array.from({ length: most }, (_, i) => sorted[Math.round((i * (sorted.length - 1)) / (most - 1))]!);
}

/** Neighbouring steps as one point, at the last of them: the median of their losses, and the whole of their range. */
export function thinnedCurve(points: readonly LossPoint[], most = MOST_MARKS): readonly LossPoint[] {
  if (points.length <= most) return points;
  return Array.from({ length: most }, (_, i) => {
    const first = Math.floor((i * points.length) / most);
    const group = points.slice(first, Math.floor(((i + 1) * points.length) / most));
    return {
      step: group.at(-1)!.step,
      loss: median(group.map(({ loss }) => loss)),
      low: group.reduce((least, { low }) => Math.min(least, low), Number.POSITIVE_INFINITY),
      high: group.reduce((top, { high }) => Math.max(top, high), Number.NEGATIVE_INFINITY),
    };
  });
}
