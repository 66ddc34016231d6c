/** Watches from a thread of its own, so that it also works while JavaScript, or a driver, blocks the main thread. */
import { Worker } from 'node:worker_threads';

/** What the thread does. */
export type WatchJob =
  | { readonly kind: 'signals'; readonly sameSignalMs: number }
  | { readonly kind: 'parent'; readonly pid: number };

/**
 * Ends the process at the second SIGINT or SIGTERM that comes while the main thread still listens to them itself.
 * @param sameSignalMs signals closer than this count as one
 */
export function endAtSecondSignal(sameSignalMs: number): {
  /** To be called when the main thread listens no more: a signal has its usual effect again. */
  stop(): void;
} {
  const thread = start({ kind: 'signals', sameSignalMs });
  return { stop: () => thread.postMessage('stop') };
}

/** Ends this process soon after its parent has ended. */
export function endWithParent(): void {
  start({ kind: 'parent', pid: process.ppid });
}

function start(job: WatchJob): Worker {
  const thread = new Worker(new URL('./watch-thread.js', import.meta.url), {
    workerData: job,
    // loaders and flags of this process are not for the thread
    execArgv: [],
    name: 'nibble-watch',
  });
  // a thread that cannot run leaves the process as it would be without one
  thread.on('error', () => undefined);
  thread.unref();
  return thread;
}
