/** How long a sample of a GPU kernel lasts in the micro-benchmarks, and how many are taken. */
import { repeatsOf } from '#dist/tune/product.js';
import { median } from '../shared/record.mjs';

/** What the samples of one arm may take in all: a slow one has fewer, so that it costs the others no time on a GPU that is lent. */
const MOST_SECONDS = 3;

/** @param seconds times so many runs in one submit, and gives the seconds of one; it has run once already */
export async function calibrate(seconds, rounds) {
  const { repeats, once } = await repeatsOf(seconds);
  return { repeats, rounds: Math.max(1, Math.min(rounds, Math.floor(MOST_SECONDS / (once * repeats)))) };
}

/** Samples of every arm of a Map of seconds(repeats) by name, in turns: `{ seconds: median, samples }` by name. */
export async function interleaved(arms, rounds) {
  const plans = new Map();
  for (const [name, seconds] of arms) plans.set(name, { ...(await calibrate(seconds, rounds)), times: [] });
  for (let round = 0; round < rounds; round++)
    for (const [name, plan] of plans) if (round < plan.rounds) plan.times.push(await arms.get(name)(plan.repeats));
  return new Map([...plans].map(([name, { times }]) => [name, { seconds: median(times), samples: times.length }]));
}
