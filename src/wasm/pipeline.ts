/** Work that flows through a fixed number of lanes: several pieces under way at once, results taken in order. */

/** Things of which one user at a time has each; handed out in the order they were asked for. */
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

/** Piece k of `count`: `begin` as soon as a lane is free, `end` in order; the lane is free again after that. */
export type Stages<L, R> = {
  readonly begin: (lane: L, k: number) => Promise<R>;
  readonly end: (result: R, k: number) => void;
  /** Every piece has a lane: another user of the pool may ask for its own. */
  readonly onAllBegun?: () => void;
};

/**
 * Resolves after the last piece. After a failure nothing more begins, and what is under way is waited for: it may still be
 * writing into its lane.
 * @throws what the first piece in order that failed has thrown
 */
export async function inLanes<L, R>(pool: Pool<L>, count: number, stages: Stages<L, R>): Promise<void> {
  let failed = false;
  let last: Promise<void> = Promise.resolve();
  const follow = async (lane: L, k: number, before: Promise<void>): Promise<void> => {
    const result = stages.begin(lane, k);
    try {
      // Settled before its turn comes: a failure is met in order, not when it happens.
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
