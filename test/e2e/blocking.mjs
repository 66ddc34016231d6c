/**
 * Loaded into a process by NODE_OPTIONS: blocks its main thread as endless JavaScript does. The process of the command does so when
 * the file FOLDER/block is there, its children two seconds after they began to listen to it, when their threads have started too.
 * Each leaves FOLDER/PID.
 */
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isMainThread } from 'node:worker_threads';

const folder = process.env.NIBBLE_TEST_BLOCKING ?? '';
const STARTED_MS = 2000;
let listensSince = Number.POSITIVE_INFINITY;
function mayBlock() {
  if (process.listenerCount('disconnect') > 0) listensSince = Math.min(listensSince, performance.now());
  return performance.now() - listensSince > STARTED_MS || existsSync(path.join(folder, 'block'));
}
/** Longer than any test waits. */
const BLOCKED_MS = 60_000;

if (isMainThread) {
  setInterval(() => {
    if (!mayBlock()) return;
    writeFileSync(path.join(folder, String(process.pid)), '');
    for (const end = Date.now() + BLOCKED_MS; Date.now() < end; );
  }, 20).unref();
}
