/** Runs work through a fixed number of lanes: several pieces under way at once, results taken in order. */

/** Shares items among users: each item has one user at a time, and users get items in the order in which they ask. */
export class Pool<T> {
  readonly #free: T[];
  readonly #waiting: ((item: T) => void)[] = [];

  constructor(items: readonly T[]) {
    this.#free = [...items];
  }

  take(): Promise<T> {
    const item = this.#free.shift();
    return item === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(item);
  }

  give(item: T): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(item);
    else next(item);
  }
}

/** What happens to piece k: `begin` as soon as a lane is free, `end` in order. The lane is free again after `end`. */
export type Stages<L, R> = {
  readonly begin: (lane: L, k: number) => Promise<R>;
  readonly end: (result: R, k: number) => void;
  /** Called once every piece has a lane: another user of the pool may ask for lanes then. */
  readonly onAllBegun?: () => void;
};

/**
 * Runs `count` pieces and resolves after the last. After a failure nothing more begins, and pieces under way are waited for,
 * since they may still write into their lanes.
 * @throws what the first piece in order that failed has thrown
 */
export async function inLanes<L, R>(pool: Pool<L>, count: number, stages: Stages<L, R>): Promise<void> {
  let failed = false;
  let last: Promise<void> = Promise.resolve();
  const follow = async (lane: L, k: number, before: Promise<void>): Promise<void> => {
    const result = stages.begin(lane, k);
    try {
      // settled before the await, so that a failure is thrown in order and not when it happens
      await Promise.allSettled([result]);
      await before;
      stages.end(await result, k);
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      pool.give(lane);
    }
  };
  for (let k = 0; k < count && !failed; k++) {
    const lane = await pool.take();
    if (failed) {
      pool.give(lane);
      break;
    }
    last = follow(lane, k, last);
    last.catch(() => undefined);
  }
  stages.onAllBegun?.();
  await last;
}
