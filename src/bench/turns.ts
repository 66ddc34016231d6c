/** The runs of a suite in their order, and the part of them that one of several machines makes. */
import type { Arm, Case, ResolvedSuite } from '../config/index.ts';
import type { Shard } from '../node/run-types.ts';
import { RUN_SUFFIX } from './read-runs.ts';

export type Turn = {
  /** Unique in the suite; names its files and its folder. */
  readonly name: string;
  readonly file: string;
  readonly arm: Arm;
  readonly case: Case['name'];
  readonly seed: number;
  readonly replicate: number;
  /** Shard that makes it, from 1. */
  readonly shard: number;
};

/** Names a run: no arm or case holds an @. */
export function runName(arm: string, caseName: string | null, seed: number): string {
  return `${arm}${caseName === null ? '' : `@${caseName}`}-seed${seed}`;
}

/**
 * Orders runs A B, B A, A B ... within a case, case after case and seed after seed, so that drift over time (heat, other
 * load) meets every arm alike. A pair, a case with a seed, is made by one shard: on one machine.
 */
export function turnsOf({ cases, seeds }: Pick<ResolvedSuite, 'cases' | 'seeds'>, shards = 1): Turn[] {
  const pairs = seeds.flatMap((seed, replicate) => cases.map((entry) => ({ seed, replicate, entry })));
  return pairs.flatMap(({ seed, replicate, entry }, index) => {
    const turn = entry.arms.map((arm): Turn => {
      const name = runName(arm.name, entry.name, seed);
      const shard = 1 + (index % shards);
      return { name, file: `${name}${RUN_SUFFIX}`, arm, case: entry.name, seed, replicate, shard };
    });
    return replicate % 2 === 0 ? turn : turn.reverse();
  });
}

/** How many pairs of a case and a seed there are: more shards than that would have nothing to do. */
export function pairCount({ cases, seeds }: Pick<ResolvedSuite, 'cases' | 'seeds'>): number {
  return cases.length * seeds.length;
}

export function isInShard(turn: Turn, shard: Shard | null): boolean {
  return shard === null || turn.shard === shard.i;
}
