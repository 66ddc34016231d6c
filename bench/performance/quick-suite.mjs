#!/usr/bin/env node
/** The quick suite's time in two built checkouts, one after the other and back, so that what drifts on the machine meets both. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { median } from 'simple-statistics';
import { LoadWatch } from '../shared/clock.mjs';
import { chosenDevice } from '../shared/device.mjs';
import { checkouts, readOptions } from '../shared/options.mjs';
import { commitOf, writeRecord } from '../shared/record.mjs';

const USAGE = `usage: node bench/performance/quick-suite.mjs --before DIR --after DIR [--record FILE]   NIBBLE_DEVICE picks the device (lavapipe)
Runs before, after, after, before. Ratios are after over before: medians over the runs' steps, totals of the suite, and CPU time
of all its processes, which other work on the machine moves least. Linux only (/proc).`;
const flags = readOptions(USAGE, {
  before: { type: 'string' },
  after: { type: 'string' },
  record: { type: 'string' },
});
const roots = checkouts(flags);
const device = chosenDevice('lavapipe');

/** @typedef {import('#dist/results/run-schema.js').RunRecord} RunRecord */
/** @typedef {'before' | 'after'} Side */
/** @type {readonly Side[]} */
const ORDER = ['before', 'after', 'after', 'before'];
const RUNS = 6;
const CLOCK_TICKS_PER_SECOND = 100;

/** User and system time of all children that have ended, theirs included: fields 16 and 17 of proc(5)'s stat. */
function childrenSeconds() {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[13]) + Number(fields[14])) / CLOCK_TICKS_PER_SECOND;
}

/** Milliseconds of every training step of the suite by arm, the whole suite's seconds and CPU seconds. @param {string} checkout */
function runSuite(checkout) {
  const output = mkdtempSync(path.join(tmpdir(), 'nibble-quick-'));
  try {
    const [started, cpu] = [performance.now(), childrenSeconds()];
    const env = { ...process.env, NIBBLE_DEVICE: device };
    const args = ['dist/cli/main.js', 'bench', 'run', 'quick', '--output', output];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: checkout, env, encoding: 'utf8' });
    if (status !== 0) throw new Error(`${checkout}: the suite ended with ${status}: ${stderr.slice(-2000)}`);
    const seconds = (performance.now() - started) / 1000;
    const cpuSeconds = childrenSeconds() - cpu;
    const [folder] = readdirSync(output);
    /** @type {RunRecord[]} */
    const runs = readdirSync(path.join(output, folder))
      .filter((file) => file.endsWith('.run.json'))
      .map((file) => JSON.parse(readFileSync(path.join(output, folder, file), 'utf8')));
    if (runs.length !== RUNS) throw new Error(`${checkout}: ${runs.length} runs, not ${RUNS}`);
    const steps = runs.flatMap(({ run_info: { arm }, train_info }) =>
      (train_info.step_time_ms?.values ?? []).map((ms) => ({ arm, ms })),
    );
    return { steps, seconds, cpuSeconds, adapter: runs[0].meta_info.gpu?.description ?? device };
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
}

const load = new LoadWatch();
/** @type {Record<Side, ReturnType<typeof runSuite>[]>} */
const rounds = { before: [], after: [] };
for (const side of ORDER) {
  const round = runSuite(roots[side]);
  rounds[side].push(round);
  load.look();
  console.log(
    `${side}: ${round.seconds.toFixed(1)} s, ${round.cpuSeconds.toFixed(1)} s of CPU, median step ` +
      `${median(round.steps.map(({ ms }) => ms)).toFixed(1)} ms; load ${load}`,
  );
}

/** @param {Side} side @param {string} arm */
const stepMs = (side, arm) =>
  median(rounds[side].flatMap(({ steps }) => steps.filter((step) => step.arm === arm)).map(({ ms }) => ms));
/** @param {Side} side @param {'seconds' | 'cpuSeconds'} field */
const total = (side, field) => median(rounds[side].map((round) => round[field]));
/** @param {string} what @param {(side: Side) => number} of @param {string} unit */
const figure = (what, of, unit) => ({
  what,
  reached: of('after') / of('before'),
  bound: null,
  unit: 'of before',
  note: `${of('before').toPrecision(4)} ${unit} before, ${of('after').toPrecision(4)} ${unit} after`,
});
const arms = [...new Set(rounds.before[0].steps.map(({ arm }) => arm))].sort();
const figures = [
  ...arms.map((arm) => figure(`median training step, ${arm}`, (side) => stepMs(side, arm), 'ms')),
  figure('the whole suite', (side) => total(side, 'seconds'), 's'),
  figure('CPU time of the whole suite', (side) => total(side, 'cpuSeconds'), 's'),
];
for (const { what, reached, note } of figures) console.log(`${what}: ${reached.toFixed(3)} of before (${note})`);
if (flags.record)
  writeRecord(flags.record, {
    row: 10,
    title: `The quick suite before and after, ${device}`,
    command: `NIBBLE_DEVICE=${device} node bench/performance/quick-suite.mjs --before DIR --after DIR`,
    adapter: rounds.after[0].adapter,
    load,
    versions: { before: commitOf(roots.before), after: commitOf(roots.after), rounds: ORDER.join(', ') },
    figures,
  });
