/**
 * Lets the processor rest while the GPU works: Dawn's Node bindings ask for results from one turn of the event loop to the
 * next and never sleep (webgpu 0.6.2), which takes a whole core, and from a software driver one that it computes on.
 */
import type { Rest } from '../gpu/device.ts';

/** Part of the time waited so far that a turn sleeps: a result comes later by no more than that. */
const SHARE = 1 / 32;
/** The same on a software driver, whose threads need the core more than the loop does. */
const SOFTWARE_SHARE = 1 / 8;
/** Timers of the system make this of a shorter sleep. */
const SHORTEST_MS = 0.05;
/** What else the event loop does is late by this at most. */
const LONGEST_MS = 1;

export type Clock = {
  readonly now: () => number;
  /** Blocks the thread. */
  readonly sleep: (ms: number) => void;
};

const cell = new Int32Array(new SharedArrayBuffer(4));
const CLOCK: Clock = { now: () => performance.now(), sleep: (ms) => void Atomics.wait(cell, 0, 0, ms) };

/** How long the loop sleeps after waiting for so long; 0 where it should ask again at once. */
export function sleepAfter(waitedMs: number, software: boolean): number {
  if (software) return Math.min(Math.max(waitedMs * SOFTWARE_SHARE, SHORTEST_MS), LONGEST_MS);
  const ms = waitedMs * SHARE;
  return ms < SHORTEST_MS ? 0 : Math.min(ms, LONGEST_MS);
}

/** What a device awaits its results with: every turn of the event loop sleeps a little while one is pending. */
export function restFor(software: boolean, { now, sleep }: Clock = CLOCK): Rest {
  let pending = 0;
  let changed = 0;
  let turning = false;
  const turn = (): void => {
    turning = pending > 0;
    if (!turning) return;
    const ms = sleepAfter(now() - changed, software);
    if (ms > 0) sleep(ms);
    // what it waits for keeps the process alive, where anything has to
    setImmediate(turn).unref();
  };
  return async (result) => {
    pending++;
    changed = now();
    if (!turning) setImmediate(turn).unref();
    turning = true;
    try {
      return await result;
    } finally {
      pending--;
      changed = now();
    }
  };
}
