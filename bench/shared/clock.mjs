/** Clocks of measurements, and what else the machine was doing. */
import { cpus, loadavg } from 'node:os';
import { median } from 'simple-statistics';

/** @typedef {() => number} Clock seconds, from any start */

/** @type {Clock} */
export const wallSeconds = () => performance.now() / 1000;

/**
 * CPU time of this process: other work on the machine does not enter it, and a software driver's kernels run in it.
 * @type {Clock}
 */
export function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/**
 * @param {() => unknown} work
 * @param {Clock} clock
 * @returns {Promise<number>} seconds that it took
 */
export async function timed(work, clock) {
  const started = clock();
  await work();
  return clock() - started;
}

/** The median of what the load average was at each look: other work on the machine, and this measurement's own. */
export class LoadWatch {
  #seen = [loadavg()[0]];

  look() {
    this.#seen.push(loadavg()[0]);
  }

  toString() {
    return `${median(this.#seen).toFixed(1)} on ${cpus().length} cores`;
  }
}
