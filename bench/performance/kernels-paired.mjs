#!/usr/bin/env node
/** Attention and matrix products of two built checkouts at the quick suite's shapes, in one process and in turns. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { geometricMean, median, min as smallest } from 'simple-statistics';
import { cpuSeconds, LoadWatch } from '../shared/clock.mjs';
import { checkouts, count, messageOf, readOptions, refuse } from '../shared/options.mjs';
import { commitOf, writeRecord } from '../shared/record.mjs';
import { inTurns } from './sampling.mjs';

const USAGE = `usage: node bench/performance/kernels-paired.mjs --before DIR --after DIR [options]   NIBBLE_DEVICE picks the device
Each checkout brings its own bench/performance/quick-kernels.mjs. Ratios are after over before, of the process's CPU time: a
software driver's kernels run there, and other work on the machine does not count.
  --rounds N     (15)
  --record FILE  writes what was measured`;
const flags = readOptions(USAGE, {
  before: { type: 'string' },
  after: { type: 'string' },
  rounds: { type: 'string', default: '15' },
  record: { type: 'string' },
});
const roots = checkouts(flags);
const rounds = count('rounds', flags.rounds);

/** CPU time of a round: long enough that a submit does not matter. */
const LEAST_SECONDS = 0.02;

/** @param {string} root @returns {Promise<Awaited<ReturnType<typeof import('./quick-kernels.mjs').openQuickKernels>>>} */
async function open(root) {
  const file = path.join(root, 'bench/performance/quick-kernels.mjs');
  try {
    const { openQuickKernels } = await import(pathToFileURL(file).href);
    return await openQuickKernels();
  } catch (error) {
    return refuse(`${file}: ${messageOf(error)}`);
  }
}

const trees = { before: await open(roots.before), after: await open(roots.after) };
const load = new LoadWatch();
/** @type {import('../shared/records.mjs').Figure[]} */
const figures = [];
/** @type {{ paired: number[], fastest: number[] }} */
const ratios = { paired: [], fastest: [] };
for (const [name, before] of trees.before.kernels) {
  const after = trees.after.kernels.get(name);
  if (after === undefined) refuse(`${roots.after} does not measure ${name}`);
  const once = Math.min(await before(1, cpuSeconds), await before(1, cpuSeconds));
  await after(1, cpuSeconds);
  const repeats = Math.max(1, Math.ceil(LEAST_SECONDS / once));
  const seconds = { before, after };
  const samples = { before: /** @type {number[]} */ ([]), after: /** @type {number[]} */ ([]) };
  await inTurns(rounds, async (side) => samples[side].push(await seconds[side](repeats, cpuSeconds)));
  load.look();
  const us = { before: median(samples.before) * 1e6, after: median(samples.after) * 1e6 };
  // neighbours in time share what else the machine did
  const paired = median(samples.after.map((each, i) => each / samples.before[i]));
  const fastest = smallest(samples.after) / smallest(samples.before);
  ratios.paired.push(paired);
  ratios.fastest.push(fastest);
  figures.push(
    { what: `${name}: median of paired rounds`, reached: paired, bound: null, unit: 'of before' },
    { what: `${name}: fastest rounds`, reached: fastest, bound: null, unit: 'of before' },
    { what: `${name}: median before`, reached: us.before, bound: null, unit: 'us' },
    { what: `${name}: median after`, reached: us.after, bound: null, unit: 'us' },
  );
  console.log(
    `${name}: ${paired.toFixed(3)} paired, ${fastest.toFixed(3)} fastest; ${us.before.toFixed(0)} us, ${us.after.toFixed(0)} us`,
  );
}
const all = `all ${trees.before.kernels.size}, geometric mean`;
figures.push(
  { what: `${all}: median of paired rounds`, reached: geometricMean(ratios.paired), bound: null, unit: 'of before' },
  { what: `${all}: fastest rounds`, reached: geometricMean(ratios.fastest), bound: null, unit: 'of before' },
);
for (const { what, reached } of figures.slice(-2)) console.log(`${what} ${reached?.toFixed(3)}`);
if (flags.record)
  writeRecord(flags.record, {
    row: 6,
    title: "Replaced kernels at the quick suite's shapes, CPU time",
    command: 'node bench/performance/kernels-paired.mjs --before DIR --after DIR --record FILE',
    adapter: trees.after.adapter,
    load,
    versions: { before: commitOf(roots.before), after: commitOf(roots.after), rounds },
    figures,
  });
await trees.before.close();
await trees.after.close();
process.exit(); // Dawn may keep a thread for a moment
