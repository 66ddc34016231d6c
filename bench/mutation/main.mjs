#!/usr/bin/env node
/** Changes one operator, bound or constant at a time and asks whether a test notices: `npm run mutate`. */
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { count, readOptions, refuse } from '../shared/options.mjs';
import { isEquivalent, summary } from './outcomes.mjs';
import { inOrder, MATRIX, relatedTests } from './related.mjs';
import { copyOf, filesOf, Runner } from './runner.mjs';
import { allMutations, drawn, nameOf } from './sites.mjs';

const USAGE = `usage: npm run mutate -- [options]
Draws mutations of src/ and shaders/ (one operator, bound or constant), puts one at a time into a copy of the working tree and runs
the tests that reach it, nearest first, until one fails. Each outcome is a line of JSON in FILE; a summary ends the run.
  --count N       how many to draw                                                 (200)
  --seed N        a larger count with the same seed begins with the same mutations   (1)
  --only TEXT     only files whose path has this in it
  --budget S      seconds of tests for a mutation that none notices                 (60)
  --resume FILE   where outcomes are written, and which mutations are done  (mutations.jsonl)
  --again         tries those again that FILE says survived
  --through CMD   starts the tests of files with subgroup matrices: FOLDER/run of scripts/install-lavapipe-subgroup-matrix.sh
  --list          prints what would be tried, and stops
The tests run on the device that NIBBLE_TEST_DEVICE names. Build first: tests read build/ and dist/.`;
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MUTATED = /^(src\/.*\.ts|shaders\/.*\.wgsl)$/;
/** CPU seconds that a test file may take without any mutation. */
const WITHOUT_S = 240;

/** @typedef {import('./outcomes.mjs').Row} Row */

/** @param {string} file @returns {Row[]} */
const rowsIn = (file) =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    : [];

/**
 * The first tests that the budget has room for, and one at least.
 * @param {ReturnType<typeof inOrder>} ordered
 * @param {number} budget
 */
function within(ordered, budget) {
  /** @type {string[]} */
  const tests = [];
  let total = 0;
  for (const { file, seconds } of ordered)
    if (tests.length === 0 || total + seconds <= budget) {
      tests.push(file);
      total += seconds;
    }
  return tests;
}

/**
 * @param {Runner} runner
 * @param {import('./sites.mjs').Mutation} mutation
 * @param {readonly import('./related.mjs').Reached[]} related
 * @param {{ budget: number, through: readonly string[] }} how
 * @returns {Promise<Row>}
 */
async function tried(runner, mutation, related, { budget, through }) {
  const started = performance.now();
  const { file, line, before, after } = mutation;
  for (;;) {
    const usable = related.filter(({ file: test }) => !unusable.has(test));
    const tests = within(inOrder(file, usable, runner.seconds), budget);
    const outcome = tests.length === 0 ? PASSED : await runner.withMutation(mutation, tests, through);
    const took = Object.fromEntries(tests.map((test) => [test, Math.round(runner.seconds.get(test) ?? 0)]));
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    const row = { name: nameOf(mutation), file, line, before, after, related: related.length, took, seconds };
    if (outcome.state === 'passed') return { ...row, state: 'survived' };
    const { by, test, message } = outcome;
    if (!(await isBelieved(runner, outcome, through))) continue;
    const isCompiled = !/error: .*(WGSL|expected|unresolved)/.test(message);
    const state = outcome.state === 'hung' ? 'timeout' : isCompiled ? 'killed' : 'not compiled';
    return { ...row, state, by, test, message };
  }
}

const PASSED = /** @type {const} */ ({ state: 'passed' });

/** Test files that fail without any mutation, or take too long. @type {Set<string>} */
const unusable = new Set();

/**
 * A failure counts where the file passes without the mutation, and within the time it was given.
 * @param {Runner} runner
 * @param {import('./runner.mjs').Failure} failure
 * @param {readonly string[]} through
 */
async function isBelieved(runner, { by, state }, through) {
  if (runner.seconds.has(by)) return true;
  const given = runner.limitOf(by);
  const outcome = await runner.run([by], through, WITHOUT_S);
  if (outcome.state === 'passed') return state !== 'hung' || runner.limitOf(by) <= given;
  console.log(`${by} is left out, it fails without any mutation: ${outcome.message}`);
  unusable.add(by);
  return false;
}

/** Kernels on a CPU take minutes a file, and those of tensor cores more: they come last. @param {{ file: string }} mutation */
const costOf = ({ file }) => Number(file.startsWith('shaders/')) + Number(MATRIX.test(file));

async function main() {
  const values = readOptions(USAGE, {
    count: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    budget: { type: 'string', default: '60' },
    resume: { type: 'string', default: 'mutations.jsonl' },
    through: { type: 'string' },
    again: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  });
  const files = filesOf(ROOT);
  const sources = files.filter((file) => MUTATED.test(file) && file.includes(values.only));
  const all = allMutations(ROOT, sources);
  const chosen = drawn(all, count('count', values.count), count('seed', values.seed, 0));
  const earlier = rowsIn(values.resume);
  const survived = new Set(earlier.filter(({ state }) => state === 'survived').map(({ name }) => name));
  const done = new Set(earlier.map(({ name }) => name));
  const open = values.again
    ? all.filter((mutation) => survived.has(nameOf(mutation)) && !isEquivalent(nameOf(mutation)))
    : chosen.filter((mutation) => !done.has(nameOf(mutation)));
  const wanted = open.sort((a, b) => costOf(a) - costOf(b));
  console.log(`${all.length} mutations of ${sources.length} files; ${chosen.length} drawn, ${wanted.length} to try`);
  if (values.list) {
    for (const mutation of wanted)
      console.log(`${mutation.file}:${mutation.line}\n  ${mutation.before}\n  ${mutation.after}`);
    return;
  }
  if (!existsSync(path.join(ROOT, 'dist'))) refuse('dist/ is not there: npm run build');
  const related = relatedTests(
    ROOT,
    files.filter((file) => /^(src|test)\/.*\.ts$|^shaders\/.*\.wgsl$/.test(file)),
  );
  const scratch = copyOf(ROOT, files);
  const runner = new Runner(scratch);
  for (const { took } of earlier)
    for (const [test, seconds] of Object.entries(took)) if (seconds > 0) runner.seconds.set(test, seconds);
  const leave = () => {
    runner.stop();
    rmSync(scratch, { recursive: true, force: true });
  };
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM']))
    process.once(signal, () => {
      leave();
      process.exit(130);
    });
  try {
    for (const [i, mutation] of wanted.entries()) {
      const through = MATRIX.test(mutation.file) && values.through !== undefined ? [values.through] : [];
      const how = { budget: count('budget', values.budget), through };
      const row = await tried(runner, mutation, related.get(mutation.file) ?? [], how);
      appendFileSync(values.resume, `${JSON.stringify(row)}\n`);
      console.log(`${i + 1}/${wanted.length} ${row.state} ${row.seconds} s ${row.file}:${row.line} ${row.by ?? ''}`);
    }
  } finally {
    leave();
  }
  console.log(summary(rowsIn(values.resume)));
}

await main();
