#!/usr/bin/env node
/**
 * The quick suite's time in two built checkouts, one after the other and back (before, after, after, before), so that what
 * drifts on the machine meets both:
 *
 *   node bench/performance/quick-suite.mjs --before DIR --after DIR [--adapter lavapipe|swiftshader] [--record FILE]
 *
 * Ratios are after over before: medians over the runs' steps, totals of the suite, and CPU time of all its processes, which
 * other work on the machine moves least. Linux only (/proc).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { commitOf, LoadWatch, median, writeRecord } from '../shared/record.mjs';

const { values: flags } = parseArgs({
  options: {
    before: { type: 'string' },
    after: { type: 'string' },
    adapter: { type: 'string', default: 'lavapipe' },
    record: { type: 'string' },
  },
});
if (!flags.before || !flags.after) throw new RangeError('--before DIR and --after DIR: two checkouts, both built');

const ORDER = ['before', 'after', 'after', 'before'];
const CLOCK_TICKS_PER_SECOND = 100;

/** User and system time of all children that have ended, theirs included: fields 16 and 17 of proc(5)'s stat. */
function childrenSeconds() {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / CLOCK_TICKS_PER_SECOND;
}

/** Milliseconds of every training step of the suite by arm, the whole suite's seconds and CPU seconds. */
function runSuite(checkout) {
  const output = mkdtempSync(path.join(tmpdir(), 'nibble-quick-'));
  try {
    const [started, cpu] = [performance.now(), childrenSeconds()];
    const env = { ...process.env, NIBBLE_DEVICE: flags.adapter };
    const args = ['dist/cli/main.js', 'bench', 'run', 'quick', '--output', output];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: checkout, env, encoding: 'utf8' });
    if (status !== 0) throw new Error(`${checkout}: the suite ended with ${status}: ${stderr.slice(-2000)}`);
    const seconds = (performance.now() - started) / 1000;
    const cpuSeconds = childrenSeconds() - cpu;
    const [folder] = readdirSync(output);
    const runs = readdirSync(path.join(output, folder))
      .filter((file) => file.endsWith('.run.json'))
      .map((file) => JSON.parse(readFileSync(path.join(output, folder, file), 'utf8')));
    if (runs.length !== 6) throw new Error(`${checkout}: ${runs.length} runs, not 6`);
    const steps = runs.flatMap(({ run_info: { arm }, train_info }) =>
      train_info.step_time_ms.values.map((ms) => ({ arm, ms })),
    );
    const adapter = runs[0].meta_info.gpu.description;
    return { steps, seconds, cpuSeconds, adapter };
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
}

const load = new LoadWatch();
const rounds = { before: [], after: [] };
for (const name of ORDER) {
  const round = runSuite(flags[name]);
  rounds[name].push(round);
  load.look();
  console.log(
    `${name}: ${round.seconds.toFixed(1)} s, ${round.cpuSeconds.toFixed(1)} s of CPU, median step ` +
      `${median(round.steps.map(({ ms }) => ms)).toFixed(1)} ms; load ${load}`,
  );
}

const arms = [...new Set(rounds.before[0].steps.map(({ arm }) => arm))].sort();
const stepMs = (name, arm) =>
  median(rounds[name].flatMap(({ steps }) => steps.filter((step) => step.arm === arm)).map(({ ms }) => ms));
const total = (name, field) => median(rounds[name].map((round) => round[field]));
const figure = (what, before, after, unit) => ({
  what,
  reached: after / before,
  bound: null,
  unit: 'of before',
  note: `${before.toPrecision(4)} ${unit} before, ${after.toPrecision(4)} ${unit} after`,
});
const figures = [
  ...arms.map((arm) => figure(`median training step, ${arm}`, stepMs('before', arm), stepMs('after', arm), 'ms')),
  figure('the whole suite', total('before', 'seconds'), total('after', 'seconds'), 's'),
  figure('CPU time of the whole suite', total('before', 'cpuSeconds'), total('after', 'cpuSeconds'), 's'),
];
for (const { what, reached, note } of figures) console.log(`${what}: ${reached.toFixed(3)} of before (${note})`);
if (flags.record)
  writeRecord(flags.record, {
    row: 10,
    title: `The quick suite before and after, ${flags.adapter}`,
    command: `node bench/performance/quick-suite.mjs --before DIR --after DIR --adapter ${flags.adapter}`,
    adapter: rounds.after[0].adapter,
    load,
    versions: { before: commitOf(flags.before), after: commitOf(flags.after), rounds: ORDER.join(', ') },
    figures,
  });
