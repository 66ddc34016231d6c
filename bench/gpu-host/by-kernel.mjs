/** Where the GPU time of a profiled step went. */
import { over } from './files.mjs';

/** Variants of kernels beyond these are one row of a profile. */
const MOST_ROWS = 30;

/** @typedef {{ kernel: string, ms: number, dispatches: number }} Row */
/** @typedef {{ ms: number, dispatches: number, kernels: (Row & { share: number | null })[] }} Profile */

/**
 * Milliseconds, dispatches and share of a step by kernel and variant, the largest first; and of all.
 * @param {readonly { name: string, dur: number }[]} traceEvents durations in microseconds
 * @returns {Profile}
 */
export function byKernel(traceEvents) {
  /** @type {Map<string, Row>} */
  const rows = new Map();
  for (const { name, dur } of traceEvents) {
    const row = rows.get(name) ?? { kernel: name, ms: 0, dispatches: 0 };
    rows.set(name, { ...row, ms: row.ms + dur / 1000, dispatches: row.dispatches + 1 });
  }
  const sorted = [...rows.values()].sort((a, b) => b.ms - a.ms);
  const [kept, others] = [sorted.slice(0, MOST_ROWS), sorted.slice(MOST_ROWS)];
  if (others.length > 0)
    kept.push({ kernel: `${others.length} more`, ms: sum(others, 'ms'), dispatches: sum(others, 'dispatches') });
  const ms = sum(sorted, 'ms');
  return { ms, dispatches: traceEvents.length, kernels: kept.map((row) => ({ ...row, share: over(row.ms, ms) })) };
}

/** @param {readonly Row[]} rows @param {'ms' | 'dispatches'} key */
const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0);
