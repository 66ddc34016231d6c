#!/usr/bin/env node
/** Ends commands at random moments, fills their disks and starts them twice, and looks at what stands there: `npm run kills`. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { count, readOptions, words } from '../shared/options.mjs';
import { COMMANDS, keepSuite, writeInputs } from './commands.mjs';
import { cannotMount, onFullDisks } from './disk.mjs';
import { killed, undisturbed } from './kills.mjs';
import { intoOne, intoTwo } from './pairs.mjs';
import { endAll } from './process.mjs';

const USAGE = `usage: npm run kills -- [options]
Ends nibble train, quantize, bench run and bench report by SIGKILL, SIGTERM and SIGINT at random moments, runs them on disks that
become full, and two at once. After each: nothing half-written under a final name, nothing written over, a run that was reported as
done is whole and has the weights of one that nobody disturbed, and a second start takes over. Exit code 1 where a fault was found.
  --count N     kills                                                (300)
  --sizes N     sizes of disk, over all commands; needs mount(8)      (40)
  --seed N                                                             (1)
  --only WORDS  commands, with commas between them: ${COMMANDS.map(({ name }) => name).join(', ')}
  --parts WORDS kills, disks and pairs                               (all)
The commands run on the device that NIBBLE_DEVICE names. Build first.`;
const PARTS = /** @type {const} */ (['kills', 'disks', 'pairs']);

/** @typedef {Map<string, import('./trial.mjs').Measured>} Lengths */

/** @param {string} work @param {readonly import('./commands.mjs').Command[]} commands @returns {Promise<Lengths>} */
async function lengths(work, commands) {
  /** @type {Lengths} */
  const measured = new Map();
  for (const command of COMMANDS) {
    const isNeeded = command.name === 'bench run' || commands.includes(command);
    if (!isNeeded) continue;
    const keep = command.name === 'bench run' ? keepSuite(work) : undefined;
    const { measured: length, faults } = await undisturbed(work, command, keep);
    if (faults.length > 0) throw new Error(faults.join('\n'));
    measured.set(command.name, length);
    console.log(
      `${command.name}: ${length.seconds.toFixed(1)} s, ${length.changes} changes of names, ${length.files.size} files`,
    );
  }
  return measured;
}

async function main() {
  const values = readOptions(USAGE, {
    count: { type: 'string', default: '300' },
    sizes: { type: 'string', default: '40' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: COMMANDS.map(({ name }) => name).join(',') },
    parts: { type: 'string', default: PARTS.join(',') },
  });
  const names = words(
    'only',
    values.only,
    COMMANDS.map(({ name }) => name),
  );
  const commands = COMMANDS.filter(({ name }) => names.includes(name));
  const parts = words('parts', values.parts, PARTS);
  const [kills, sizes] = [count('count', values.count, 0), count('sizes', values.sizes, 0)];
  const random = xoroshiro128plus(count('seed', values.seed, 0));
  const work = mkdtempSync(path.join(tmpdir(), 'nibble-kills-'));
  let faults = 0;
  try {
    writeInputs(work);
    const measured = await lengths(work, commands);
    const of = (/** @type {string} */ name) => /** @type {import('./trial.mjs').Measured} */ (measured.get(name));
    if (parts.includes('kills')) {
      /** @type {Awaited<ReturnType<typeof killed>>[]} */
      const rows = [];
      for (let i = 0; i < kills; i++) {
        const command = /** @type {import('./commands.mjs').Command} */ (commands[i % commands.length]);
        rows.push(await killed(work, command, of(command.name), random));
      }
      faults += told(`${kills} kills`, rows, ({ signal, state, second }) => [
        signal,
        `first ${state}`,
        `second ${second}`,
      ]);
    }
    const mountless = parts.includes('disks') ? cannotMount(work) : null;
    if (mountless !== null) console.log(`no full disks: ${mountless}`);
    else if (parts.includes('disks')) {
      const each = Math.ceil(sizes / commands.length);
      /** @type {Awaited<ReturnType<typeof onFullDisks>>[]} */
      const rows = [];
      for (const command of commands) rows.push(await onFullDisks(work, command, of(command.name), each));
      faults += told(`${rows.flat().length} disks`, rows.flat(), ({ code }) => [`exit code ${code}`]);
    }
    if (parts.includes('pairs')) {
      const [one, two] = [[], []].map(() => /** @type {Awaited<ReturnType<typeof intoOne>>[]} */ ([]));
      for (const command of commands) {
        one?.push(await intoOne(work, command, of(command.name)));
        two?.push(await intoTwo(work, command, of(command.name)));
      }
      faults += told('two in one folder', one ?? [], ({ codes }) => [`exit codes ${[...codes].sort().join(' and ')}`]);
      faults += told('two in two folders', two ?? [], ({ codes }) => [`exit codes ${[...codes].sort().join(' and ')}`]);
    }
  } finally {
    if (existsSync(work)) rmSync(work, { recursive: true, force: true });
  }
  process.exitCode = faults > 0 ? 1 : 0;
}

/**
 * Prints how often each thing was seen, a line a command.
 * @template {{ readonly command: string, readonly faults: readonly string[] }} R
 * @param {string} title
 * @param {readonly R[]} rows
 * @param {(row: R) => readonly string[]} kinds
 * @returns {number} of faults
 */
function told(title, rows, kinds) {
  const faults = rows.reduce((sum, row) => sum + row.faults.length, 0);
  console.log(`\n${title}: ${faults} faults`);
  for (const name of new Set(rows.map(({ command }) => command))) {
    const own = rows.filter(({ command }) => command === name);
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const kind of own.flatMap(kinds)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const words = [...counts].sort().map(([kind, times]) => `${kind} ${times}`);
    console.log(`  ${name}: ${own.length} (${words.join(', ')})`);
  }
  return faults;
}

process.once('exit', endAll);
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.once(signal, () => process.exit(130));
await main();
