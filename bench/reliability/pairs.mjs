/** Two of a command at once, in one folder and in two. */
import path from 'node:path';
import { filesBelow } from './complete.mjs';
import { Trial } from './trial.mjs';

/** @typedef {import('./commands.mjs').Command} Command */
/** @typedef {import('./trial.mjs').Measured} Measured */

/** What the second is told, at work or when the first has ended already. */
const TAKEN = /is in use: process \d+|is just being taken|is not empty/;

/** @param {string} work @param {Command} command @param {Measured} measured */
export async function intoOne(work, command, measured) {
  const trial = new Trial(work, command);
  const ends = await Promise.all([trial.start().ended, trial.start().ended]);
  for (const ended of ends) trial.check({ ...ended, stdout: '' }, measured, { mayLeave: false });
  const codes = ends.map(({ code }) => code);
  // a suite has a folder of its own below the one that is given; a report that is there is made anew
  const mayBoth = command.name === 'bench run' || command.name === 'bench report';
  if (!codes.includes(0)) trial.fault(`neither of two ended well: ${ends.map(({ stderr }) => stderr).join('')}`);
  for (const { code, stderr } of ends.filter((ended) => ended.code !== 0))
    if (code !== 2 || !TAKEN.test(stderr)) trial.fault(`the second ends with ${code}: ${stderr}`);
  if (!mayBoth && codes.every((code) => code === 0)) trial.fault('both ended well in one folder');
  if (command.name === 'bench run' && filesBelow(trial.out).final.size !== 2 * measured.files.size)
    trial.fault(`${filesBelow(trial.out).final.size} files of two suites, wanted ${2 * measured.files.size}`);
  return over(trial, codes);
}

/** @param {string} work @param {Command} command @param {Measured} measured */
export async function intoTwo(work, command, measured) {
  const trial = new Trial(work, command);
  const other = path.join(trial.home, 'other');
  command.prepare?.(work, other);
  const ends = await Promise.all([trial.start().ended, trial.start(other).ended]);
  for (const ended of ends) {
    trial.check(ended, measured, { mayLeave: false });
    if (ended.code !== 0) trial.fault(`one of two, each in its folder, ends with ${ended.code}: ${ended.stderr}`);
  }
  trial.requireResult(other, measured);
  return over(
    trial,
    ends.map(({ code }) => code),
  );
}

/** @param {Trial} trial @param {readonly (number | null)[]} codes */
function over(trial, codes) {
  for (const fault of trial.faults) console.log(`  ${fault} (two at once)`);
  trial.remove();
  return { command: trial.command.name, codes, faults: trial.faults };
}
