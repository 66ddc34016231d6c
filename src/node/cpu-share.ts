/** How much of the processors other programs took while something ran: times beside a busy neighbour are not its own. */
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';

/** Linux counts processor time in hundredths of a second for its readers, whatever its own clock. */
const TICKS_PER_SECOND = 100;
/** Below this a share is counted in a handful of ticks. */
const SHORTEST_S = 1;

/**
 * Starts to watch; the function it returns gives the share of all processors' time, 0 to 1, that others took since then.
 * Undefined where the system does not tell (only Linux does), or for less than a second.
 */
export async function watchOtherCpu(): Promise<() => Promise<number | undefined>> {
  const before = await busySeconds();
  const own = process.cpuUsage();
  const started = performance.now();
  return async () => {
    const after = await busySeconds();
    const seconds = (performance.now() - started) / 1000;
    if (before === null || after === null || seconds < SHORTEST_S) return undefined;
    const { user, system } = process.cpuUsage(own);
    const others = after - before - (user + system) / 1e6;
    return Math.min(1, Math.max(0, others / (seconds * cpus().length)));
  };
}

/** Busy seconds of all processors since the system started, waiting apart; null where there is no /proc/stat. */
async function busySeconds(): Promise<number | null> {
  const text = await readFile('/proc/stat', 'utf8').catch(() => null);
  const fields = text
    ?.match(/^cpu +(.*)$/m)?.[1]
    ?.split(' ')
    .map(Number);
  if (fields === undefined || fields.some(Number.isNaN)) return null;
  const [user = 0, nice = 0, system = 0, _idle, _iowait, irq = 0, softirq = 0, steal = 0] = fields;
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}
