/** How far the items of a task that lm-eval scored through a server are from those of `nibble eval`. */
import { min as smallest } from 'simple-statistics';

/** @typedef {import('../shared/records.mjs').Figure} Figure */
/** @typedef {string | number | boolean | readonly unknown[]} Answer */
/** @typedef {{ doc_id: number, filter: string, filtered_resps: readonly Answer[], metrics?: readonly string[] } & Record<string, unknown>} Sample */

/** float32 on both sides, in other batches: of the size of a sum, where that is above one nat. */
const BOUND = 1e-6;

/**
 * @param {string} what
 * @param {readonly Sample[]} served by lm-eval, through the server
 * @param {readonly Sample[]} own lines of nibble eval's samples
 * @returns {Figure[]}
 */
export function taskFigures(what, served, own) {
  const key = (/** @type {Sample} */ { doc_id, filter }) => `${doc_id} ${filter}`;
  const wanted = new Map(own.map((sample) => [key(sample), sample]));
  const pairs = served.map((sample) => ({ got: sample, want: wanted.get(key(sample)) }));
  const missing = pairs.filter(({ want }) => want === undefined).length + Math.max(0, own.length - served.length);
  const answers = pairs.flatMap(({ got, want }) =>
    answersOf(got.filtered_resps).map((answer, i) => ({ got: answer, want: answersOf(want?.filtered_resps ?? [])[i] })),
  );
  const numbers = answers.filter(({ got }) => typeof got === 'number');
  const others = answers.filter(({ got }) => typeof got !== 'number');
  const items = new Set(served.map(({ doc_id }) => doc_id)).size;
  /** @type {Figure[]} */
  const figures = [
    {
      what: `${what}: items of one that the other lacks`,
      reached: missing,
      bound: 0,
      unit: 'items',
      note: `of ${items}`,
    },
  ];
  if (numbers.length > 0)
    figures.push({
      what: `${what}: log-likelihood, worst`,
      reached: worst(numbers),
      bound: BOUND,
      unit: 'of its size, or nats below 1',
      note: `${numbers.length} of them, down to ${smallest(numbers.map(({ got }) => Number(got))).toFixed(1)}`,
    });
  if (others.length > 0)
    figures.push({
      what: `${what}: ${typeof others[0].got === 'boolean' ? 'whether each is the greedy one' : 'texts that were generated'}`,
      reached: others.filter(({ got, want }) => got !== want).length,
      bound: 0,
      unit: 'that differ',
      note: `of ${others.length}`,
    });
  return figures;
}

/** @param {readonly { got: unknown, want: unknown }[]} pairs @returns {number} NaN where one is no number */
function worst(pairs) {
  return pairs.reduce((most, { got, want }) => {
    const size = Math.max(1, Math.abs(Number(want ?? Number.NaN)));
    return Math.max(most, Math.abs(Number(got) - Number(want)) / size); // Math.max keeps a NaN
  }, 0);
}

/** The leaves of an answer; lm-eval's files have numbers and flags as texts. @param {Answer} given @returns {(string | number | boolean)[]} */
function answersOf(given) {
  if (Array.isArray(given)) return given.flatMap((part) => answersOf(part));
  const plain = /** @type {string | number | boolean} */ (given);
  if (typeof plain !== 'string') return [plain];
  if (plain === 'True' || plain === 'False') return [plain === 'True'];
  return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(plain) ? [Number(plain)] : [plain];
}
