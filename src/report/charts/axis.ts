/** Scales that more than one chart needs. */
import { max as largest, min as smallest } from 'simple-statistics';
import { armColor, CHART_WIDTH, LABEL_LIMIT } from './theme.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
// room at the right end of a bar for its total
const LABEL_ROOM = 1.16;

/** Picks the binary unit in which the largest value reads well, and a domain with room for a label behind it. */
export function byteAxis(largestBytes: number) {
  const power = Math.min(Math.floor(Math.log2(Math.max(largestBytes, 1)) / 10), UNITS.length - 1);
  const unitBytes = 1024 ** power;
  return { unit: UNITS[power]!, unitBytes, domain: [0, (largestBytes / unitBytes) * LABEL_ROOM] };
}

/** Gives every arm, or method, its colour, in the order given, from the colour of index `first` on. */
export function armScale(arms: readonly string[], first = 0) {
  return { domain: arms, range: arms.map((_, i) => armColor(first + i)) };
}

/** Columns of a legend above a plot in which no entry is cut off at the right end; `rows` are the labels left of the plot. */
export function legendColumns(labels: readonly string[], rows: readonly string[] = ['']): number {
  const widest = (texts: readonly string[]) =>
    Math.min(LABEL_LIMIT, largest(texts.map(({ length }) => length * LETTER)));
  const room = CHART_WIDTH - LEGEND_SIDES - widest(rows);
  return Math.max(1, Math.floor(room / (widest(labels) + LEGEND_ENTRY)));
}

/** Pixels of a letter of 12 pixels, as Vega takes it without a canvas to measure on. */
const LETTER = 9.6;
const LEGEND_ENTRY = 34;
const LEGEND_SIDES = 60;

/**
 * Computes a domain for values far from zero: their range and a margin of a tenth on both sides, though never past a zero that
 * no value passes: there is no negative time.
 */
export function closeDomain(values: readonly number[]): [number, number] {
  const low = smallest([...values]);
  const high = largest([...values]);
  const margin = (high - low || Math.abs(high) || 1) / 10;
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
}
