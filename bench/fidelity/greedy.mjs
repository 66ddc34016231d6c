/** Greedy tokens held against those of a reference, as far as its first tie. */
import { min as smallest } from 'simple-statistics';

/**
 * @typedef {object} Greedy a row of the reference that smollm2_generate.py wrote
 * @property {string} prompt
 * @property {string | null} adapter
 * @property {number[]} input_ids
 * @property {number[]} token_ids
 * @property {number[]} leads by how much the score of each token leads the next one
 */

/** @typedef {'f32' | 'bf16' | '4bit'} Form */
/** @typedef {{ tie: number, versions: Record<string, string>, forms: Record<Form, Greedy[]> }} Reference */

/**
 * @param {string} what begins the figure's name
 * @param {readonly number[]} got
 * @param {Greedy} want
 * @param {{ tie: number, count: number }} options a lead below `tie` may go either way; how many tokens have to agree
 * @returns {import('../shared/records.mjs').Figure} tokens that differ before the first tie that went the other way
 */
export function tokenFigure(what, got, { prompt, adapter, token_ids: want, leads }, { tie, count }) {
  const first = want.slice(0, count).findIndex((id, place) => got[place] !== id);
  const isTie = first !== -1 && leads[first] < tie;
  const compared = isTie ? first : count;
  const differing = want.slice(0, compared).filter((id, place) => got[place] !== id).length;
  const least = smallest(leads.slice(0, compared));
  const ended = isTie ? `; a tie there, its lead is ${leads[first].toExponential(1)}` : '';
  return {
    what: `${what}${adapter === null ? '' : ' and adapter'}, "${prompt}"`,
    reached: got.length < compared ? null : differing,
    bound: 0,
    unit: 'tokens that differ',
    note: `of ${compared}${ended}; the smallest lead is ${least.toFixed(4)}`,
  };
}
