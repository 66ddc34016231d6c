/** How long a sample of a GPU kernel lasts in the micro-benchmarks, and how many are taken. */
import { median } from 'simple-statistics';
import { repeatsOf } from '#dist/tune/product.js';

/** @typedef {(repeats?: number) => Promise<number>} Seconds times so many runs in one submit, and gives the seconds of one */

/** What the samples of one arm may take in all: a slow one has fewer, so that it costs the others no time on a GPU that is lent. */
const MOST_SECONDS = 3;

/** @param {Seconds} seconds it has run once already @param {number} rounds the most */
export async function calibrate(seconds, rounds) {
  const { repeats, once } = await repeatsOf(seconds);
  return { repeats, rounds: Math.max(1, Math.min(rounds, Math.floor(MOST_SECONDS / (once * repeats)))) };
}

/**
 * Samples of every arm in turns, so that what drifts meets all.
 * @template K
 * @param {ReadonlyMap<K, Seconds>} arms
 * @param {number} rounds
 * @returns {Promise<Map<K, { seconds: number, samples: number }>>} the median, and of how many
 */
export async function interleaved(arms, rounds) {
  const plans = [];
  for (const [name, seconds] of arms)
    plans.push({ name, seconds, ...(await calibrate(seconds, rounds)), times: /** @type {number[]} */ ([]) });
  for (let round = 0; round < rounds; round++)
    for (const { seconds, repeats, rounds: own, times } of plans) if (round < own) times.push(await seconds(repeats));
  return new Map(plans.map(({ name, times }) => [name, { seconds: median(times), samples: times.length }]));
}

/**
 * Two arms in turns, either of them first.
 * @param {number} rounds
 * @param {(side: 'before' | 'after') => unknown} sample
 */
export async function inTurns(rounds, sample) {
  for (let round = 0; round < rounds; round++) {
    /** @type {('before' | 'after')[]} */
    const sides = round % 2 === 0 ? ['before', 'after'] : ['after', 'before'];
    for (const side of sides) await sample(side);
  }
}
