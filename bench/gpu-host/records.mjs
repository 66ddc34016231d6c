/** Records of docs/performance.md's first rows from what gpu-host.sh left in a folder. */
import { existsSync } from 'node:fs';
import { PROMISES } from '../performance/promises.mjs';
import { readResults } from './results.mjs';

/** @typedef {import('../shared/records.mjs').StoredRecord} StoredRecord */
/** @typedef {import('./figures.mjs').Promised} Promised */

/**
 * Stages that a row's figures come from.
 * @type {Readonly<Record<number, string>>}
 */
export const STAGES = {
  1: 'gemm',
  2: 'dequant',
  3: 'llama-2-7b',
  4: 'smollm2-135m tinyllama-1.1b llama-2-7b',
  5: 'llama-2-7b llama-65b',
};

/**
 * @param {string} folder need not exist
 * @param {string} [name] of it in messages
 * @returns {StoredRecord[]} one for each row of which something was measured
 * @throws Error for a rehearsal: figures of a software driver or of tiny sizes are not a GPU's
 */
export function gpuRecords(folder, name = 'results/gpu-host') {
  if (!existsSync(folder)) return [];
  const { hosts, rehearsed, figures, facts } = readResults(folder);
  const last = hosts.at(-1);
  if (last === undefined)
    throw new Error(`${name} has no host-*.json: it is not a folder of bench/gpu-host/gpu-host.sh`);
  if (rehearsed) throw new Error(`${name} holds a rehearsal: move it away, it says nothing of a GPU`);
  const { at, rehearsed: _, software, gpu, driver, ...rest } = last;
  const known = Object.entries(rest).filter(([, value]) => value !== null);
  const environment = { gpu, driver, ...Object.fromEntries(known.map(([key, value]) => [key, String(value)])) };
  const rows = [...new Set(figures.map(({ row }) => row))];
  return rows.flatMap((row) => {
    const own = figures.filter((figure) => figure.row === row);
    const measured = own.filter(({ reached }) => reached !== null);
    if (measured.length === 0) return [];
    return {
      row,
      title: `${PROMISES[row - 1].what} on ${gpu}`,
      command: `bash bench/gpu-host/gpu-host.sh ${STAGES[row]}`,
      measured: at.slice(0, 10),
      environment,
      figures: measured.map(figure),
      ...remark(row, own, facts),
    };
  });
}

/** @param {Promised} promised @returns {import('../shared/records.mjs').Figure} */
const figure = ({ what, reached, bound, wanted, least, unit, note }) => ({
  what,
  reached,
  bound,
  unit,
  ...(least ? { least } : {}),
  note: [`wanted ${wanted}`, ...(note ? [note] : [])].join('; '),
});

/**
 * What a row promises and nobody measured, and with the first row the lines that have no promise.
 * @param {number} row
 * @param {readonly Promised[]} own
 * @param {readonly [what: string, figure: string][]} facts
 */
function remark(row, own, facts) {
  const absent = own.filter(({ reached }) => reached === null).map(({ what }) => `Not measured: ${what}.`);
  const lines = row === 1 ? facts.map(([what, reached]) => `- ${what}: ${reached}`) : [];
  const parts = [absent.join(' '), lines.join('\n')].filter(Boolean);
  return parts.length === 0 ? {} : { remark: parts.join('\n\n') };
}
