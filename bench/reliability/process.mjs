/** A command as a process of its own, with its children: started, ended by a signal, and waited for. */
import { spawn } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';

/** Children of a process that was killed go when they hear of it. */
const CHILDREN_MS = 20_000;
const LOOK_MS = 50;

/** @typedef {{ readonly code: number | null, readonly signal: NodeJS.Signals | null, readonly stdout: string, readonly stderr: string }} Ended */
/** @typedef {{ readonly signal: NodeJS.Signals, readonly group: boolean }} Blow whether the children get it, too: Ctrl-C of a terminal */

/** Groups that were started and not seen to be gone. @type {Set<number>} */
const running = new Set();

/** Ends what still runs. */
export function endAll() {
  for (const pid of running) struck(-pid, 'SIGKILL');
}

/**
 * @param {readonly string[]} words
 * @param {string} cwd
 * @returns the process, and its end
 */
export function started(words, cwd) {
  const child = spawn(/** @type {string} */ (words[0]), words.slice(1), {
    cwd,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  /** @type {Promise<Ended>} */
  const ended = new Promise((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr })),
  );
  const pid = child.pid ?? 0;
  running.add(pid);
  void ended.then(() => running.delete(pid));
  return { pid, ended, strike: (/** @type {Blow} */ { signal, group }) => struck(group ? -pid : pid, signal) };
}

/** @param {number} pid @param {NodeJS.Signals | 0} signal @returns whether it was there */
function struck(pid, signal) {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** @param {number} pid of the process that led the group @returns {Promise<boolean>} whether all have gone */
export async function groupIsGone(pid) {
  running.add(pid);
  for (let waited = 0; waited < CHILDREN_MS; waited += LOOK_MS) {
    if (!struck(-pid, 0)) return running.delete(pid);
    await wait(LOOK_MS);
  }
  struck(-pid, 'SIGKILL');
  return false;
}
