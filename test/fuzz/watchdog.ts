/** Ends the process where an input never ends: what hangs in one stretch lets no timer of its own thread run. */
import { Worker } from 'node:worker_threads';

const MOST_MS = 30_000;
const LABEL_BYTES = 512;

const label = new SharedArrayBuffer(LABEL_BYTES);
const state = new Int32Array(new SharedArrayBuffer(8));
/** The thread looks whether the count has moved, which it does before and after each input. */
const CODE = `
const { workerData: { label, state, mostMs } } = require('node:worker_threads');
const { writeSync } = require('node:fs');
let last = -1, since = Date.now();
setInterval(() => {
  const now = Atomics.load(state, 0);
  if (now !== last || now % 2 === 0) { last = now; since = Date.now(); return; }
  if (Date.now() - since < mostMs) return;
  writeSync(2, 'fuzz: does not end: ' + Buffer.from(label).toString().replaceAll('\\0', '') + '\\n');
  process.kill(process.pid, 'SIGKILL');
}, 1000);
`;

/** Runs `work`; where it blocks the thread for 30 s, the process says `name` and is killed. */
export async function watched<T>(name: string, work: () => Promise<T>): Promise<T> {
  start();
  new Uint8Array(label).fill(0);
  new Uint8Array(label).set(new TextEncoder().encode(name).subarray(0, LABEL_BYTES));
  Atomics.add(state, 0, 1);
  try {
    return await work();
  } finally {
    Atomics.add(state, 0, 1);
  }
}

let isWatched = false;

function start(): void {
  if (isWatched) return;
  isWatched = true;
  const made = new Worker(CODE, { eval: true, workerData: { label, state, mostMs: MOST_MS } });
  made.unref();
}
