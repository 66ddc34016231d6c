/** Entry of the thread that watch.ts starts: ends the process where its main thread is too busy to. */
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { WatchJob } from './watch.ts';

/** How often the process looks whether its parent is still there. */
const PARENT_POLL_MS = 250;
/** process.stderr of a thread is no file: it goes through the main thread. */
const STDERR = 2;
const SIGNALS = { SIGINT: constants.signals.SIGINT, SIGTERM: constants.signals.SIGTERM };

/** Node's handle of a signal. Its public form, process.on, is there for the main thread alone (Node 20 to 24). */
type SignalHandle = { onsignal: () => void; start(signal: number): number; close(): void };
type Binding = { readonly Signal: new () => SignalHandle };

const job = workerData as WatchJob;
if (job.kind === 'parent') watchParent(job.pid);
else watchSignals(job.sameSignalMs);

function watchParent(pid: number): void {
  setInterval(() => {
    if (process.ppid !== pid) process.kill(process.pid, 'SIGKILL');
  }, PARENT_POLL_MS);
}

/** Sees every signal that the main thread sees. The first is the main thread's; a later one finds it blocked, or gone. */
function watchSignals(sameSignalMs: number): void {
  let firstMs: number | null = null;
  const onSignal = (name: string): void => {
    const now = performance.now();
    firstMs ??= now;
    if (now - firstMs >= sameSignalMs) end(name);
  };
  const handles = Object.entries(SIGNALS).map(([name, number]) => {
    const handle = new (signalBinding().Signal)();
    handle.onsignal = () => onSignal(name);
    handle.start(number);
    return handle;
  });
  parentPort?.once('message', () => {
    for (const handle of handles) handle.close();
  });
}

/** No public call gives a thread the signals of its process. Where this one is gone, a blocked process has to be killed. */
function signalBinding(): Binding {
  process.noDeprecation = true;
  return (process as unknown as { binding(name: string): Binding }).binding('signal_wrap');
}

/** SIGKILL, since the signal's own effect is off while the main thread listens. */
function end(name: string): void {
  try {
    writeSync(STDERR, `nibble: ended by a second ${name}\n`);
  } catch {
    // nobody reads it
  }
  process.kill(process.pid, 'SIGKILL');
}
