/** Commands ended by signals at moments that are drawn: by the clock, or at a change of what stands on the disk. */
import { readdirSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { filesBelow } from './complete.mjs';
import { groupIsGone } from './process.mjs';
import { plain, Trial } from './trial.mjs';

/** @typedef {import('./commands.mjs').Command} Command */
/** @typedef {import('./trial.mjs').Measured} Measured */

const LOOK_MS = 2;
/** A moment may lie this far behind the length that was measured. */
const BEYOND = 1.1;
const MILLE = 1000;
const SIGNALS = /** @type {const} */ (['SIGKILL', 'SIGTERM', 'SIGINT']);

/** Calls back at every change of the names below a folder, until it is told to stop. */
class Watch {
  #goesOn = true;

  /** @param {string} folder @param {(count: number) => void} onChange */
  constructor(folder, onChange) {
    this.over = this.#run(folder, onChange);
  }

  /** @param {string} folder @param {(count: number) => void} onChange */
  async #run(folder, onChange) {
    let before = namesBelow(folder);
    for (let count = 0; this.#goesOn; await wait(LOOK_MS)) {
      const now = namesBelow(folder);
      if (now === before) continue;
      before = now;
      onChange(++count);
    }
  }

  stop() {
    this.#goesOn = false;
    return this.over;
  }
}

/** @param {string} folder */
function namesBelow(folder) {
  try {
    return readdirSync(folder, { recursive: true }).join('\n');
  } catch {
    return ''; // a folder went while it was read
  }
}

/**
 * A run that nobody disturbs.
 * @param {string} work
 * @param {Command} command
 * @param {(out: string) => void} [keep] is shown its folder
 * @returns {Promise<{ measured: Measured, faults: readonly string[] }>}
 */
export async function undisturbed(work, command, keep) {
  const trial = new Trial(work, command);
  let changes = 0;
  const watch = new Watch(trial.home, (count) => {
    changes = count;
  });
  const begun = performance.now();
  const ended = await trial.start().ended;
  const seconds = (performance.now() - begun) / 1000;
  await watch.stop();
  const files = new Map([...filesBelow(trial.out).final].map(([file, hash]) => [plain(file), hash]));
  const measured = { seconds, changes, files, bytes: 0 };
  trial.check(ended, measured, { mayLeave: false });
  if (ended.code !== 0) trial.fault(`an undisturbed run ends with ${ended.code}: ${ended.stderr}`);
  keep?.(trial.out);
  trial.remove();
  return { measured, faults: trial.faults };
}

/**
 * One kill.
 * @param {string} work
 * @param {Command} command
 * @param {Measured} measured
 * @param {import('pure-rand/types/RandomGenerator').RandomGenerator} random
 */
export async function killed(work, command, measured, random) {
  const draw = (/** @type {number} */ most) => uniformInt(random, 0, most);
  const signal = SIGNALS[draw(SIGNALS.length - 1)] ?? 'SIGKILL';
  // a terminal sends SIGINT to all; the others come to one process, and now and then to all
  const group = signal === 'SIGINT' || draw(2) === 0;
  const byClock = draw(1) === 0;
  const moment = byClock
    ? (draw(MILLE) / MILLE) * BEYOND * measured.seconds * 1000
    : 1 + draw(Math.max(0, measured.changes - 1));
  const trial = new Trial(work, command);
  const running = trial.start();
  let struck = false;
  const strike = () => {
    struck ||= running.strike({ signal, group });
  };
  const watch = byClock ? null : new Watch(trial.home, (count) => void (count === moment && strike()));
  const clock = byClock ? setTimeout(strike, moment) : undefined;
  const ended = await running.ended;
  clearTimeout(clock);
  await watch?.stop();
  if (!(await groupIsGone(running.pid))) trial.fault(`${signal}: a process stays`);
  trial.check(ended, measured, { mayLeave: signal === 'SIGKILL' });
  const began = filesBelow(trial.out).final.size > trial.before.size;
  const second = command.stamped ? 'not started' : await trial.again(measured);
  for (const fault of trial.faults)
    console.log(
      `  ${fault} (${signal}${group ? ' to all' : ''} ${byClock ? `after ${moment.toFixed(0)} ms` : `at change ${moment}`})`,
    );
  trial.remove();
  const state = ended.code === 0 ? 'done' : began ? 'begun' : 'nothing';
  return { command: command.name, signal, struck, state, second, faults: trial.faults };
}
