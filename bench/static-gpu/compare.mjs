/** An earlier result beside this one. */
import { readFileSync } from 'node:fs';
import { DataError } from './from-nibble.mjs';
import { aligned, figure, shortVariant, tflopsFigure } from './table.mjs';

/** @import { Result, Row } from './types.d.ts' */

/** @param {string} file @returns {Result} @throws DataError for what is none */
export function readResult(file) {
  let found;
  try {
    found = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new DataError(
      file,
      `cannot be read as the result of an earlier --json: ${/** @type {Error} */ (error).message}`,
    );
  }
  if (typeof found?.chips === 'object' && typeof found?.paper_model === 'object') return found;
  throw new DataError(file, 'has no chips and paper_model: give a file that --json wrote');
}

/** A row a line, so that two results can be compared as text. @param {Result} result */
export function resultText({ chips, paper_model }) {
  const lines = Object.entries(chips).map(([chip, rows]) => {
    const own = rows.map((row) => `      ${JSON.stringify(row)}`).join(',\n');
    return `    ${JSON.stringify(chip)}: [\n${own}\n    ]`;
  });
  return `{\n  "chips": {\n${lines.join(',\n')}\n  },\n  "paper_model": ${JSON.stringify(paper_model)}\n}\n`;
}

/** @param {Row} row */
const rowKey = ({ tier, kernel, variant }) => `${tier} ${kernel} ${variant}`;

/** Words of two variants that are the same. @param {Row} one @param {Row | null} other */
const shared = (one, other) => one.variant.split(' ').filter((word) => other?.variant.split(' ').includes(word)).length;

/**
 * Rows of the same tier, kernel and variant together; then the likest of those left of the same tier and kernel, since a tile that
 * changed is another variant.
 * @param {readonly Row[]} before
 * @param {readonly Row[]} after
 * @returns {{ before: Row | null, after: Row | null }[]}
 */
export function paired(before, after) {
  const left = new Map(before.map((row) => [rowKey(row), row]));
  const pairs = after.map((row) => {
    const same = left.get(rowKey(row)) ?? null;
    left.delete(rowKey(row));
    return { before: same, after: /** @type {Row | null} */ (row) };
  });
  for (const pair of pairs) {
    if (pair.before !== null) continue;
    const { after: row } = pair;
    const [kin] = [...left.values()]
      .filter(({ tier, kernel }) => tier === row?.tier && kernel === row.kernel)
      .sort((a, b) => shared(b, row) - shared(a, row));
    if (kin === undefined) continue;
    pair.before = kin;
    left.delete(rowKey(kin));
  }
  return [...pairs, ...[...left.values()].map((row) => ({ before: row, after: null }))];
}

const HEAD = [
  'kernel',
  'variant',
  'TFLOP/s',
  'bound by',
  'registers',
  'scratch',
  'spills',
  'resident',
  'clocks a round',
];

/** @param {string} chip @param {readonly Row[]} before @param {readonly Row[]} after */
export function comparison(chip, before, after) {
  const lines = paired(before, after)
    .filter(({ before: old, after: now }) =>
      [old, now].some((row) => row !== null && (row.tflops !== null || row.scratch_bytes > 0)),
    )
    .map(({ before: old, after: now }) => {
      const both = (/** @type {(row: Row) => string} */ of) =>
        `${old === null ? 'none' : of(old)} -> ${now === null ? 'none' : of(now)}`;
      const row = /** @type {Row} */ (now ?? old);
      return [
        row.kernel,
        `${row.tier} ${shortVariant(row.variant)}`,
        both((r) => tflopsFigure(r.tflops)),
        both((r) => r.bound_by),
        both((r) => `${r.registers}`),
        both((r) => `${r.scratch_bytes}`),
        both((r) => `${r.spills}`),
        both((r) => `${r.resident_workgroups}`),
        both((r) => figure(r.round_clocks)),
      ];
    });
  return `${chip}, before -> after\n${aligned([HEAD, ...lines])}`;
}

/** @param {Result['paper_model']} before @param {Result['paper_model']} after */
export const modelComparison = (before, after) =>
  Object.entries(after)
    .map(([name, ms]) => `${name}: ${figure(before[name] ?? null)} -> ${figure(ms)}`)
    .join('\n');
