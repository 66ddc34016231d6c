/** The processor's time of some work, which other processes on a busy machine leave alone. */
export function cpuSeconds(work: () => unknown): number {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

/** What grows with the square of a size takes minutes in the tests that use this, and what grows with the size a second or two. */
export const SOON_SECONDS = 10;
