/** Scales that more than one chart needs. */
import { max as largest, min as smallest } from 'simple-statistics';
import { armColor } from './theme.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
// room at the right end of a bar for its total
const LABEL_ROOM = 1.16;

/** Picks the binary unit in which the largest value reads well, and a domain with room for a label behind it. */
export function byteAxis(largestBytes: number) {
  const power = Math.min(Math.floor(Math.log2(Math.max(largestBytes, 1)) / 10), UNITS.length - 1);
  const unitBytes = 1024 ** power;
  return { unit: UNITS[power]!, unitBytes, domain: [0, (largestBytes / unitBytes) * LABEL_ROOM] };
}

/** Gives every arm, or method, its colour, in the order given. */
export function armScale(arms: readonly string[]) {
  return { domain: arms, range: arms.map((_, i) => armColor(i)) };
}

/** Computes a domain for values far from zero: their range and a margin of a tenth on both sides. */
export function closeDomain(values: readonly number[]): [number, number] {
  const low = smallest([...values]);
  const high = largest([...values]);
  const margin = (high - low || Math.abs(high) || 1) / 10;
  return [low - margin, high + margin];
}
