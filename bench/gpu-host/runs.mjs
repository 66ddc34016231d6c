/** The runs below a folder of gpu-host.sh, ours and PEFT's, and what their records say about speed and memory. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { max as largest, median, min as smallest } from 'simple-statistics';
import { filesOf, text } from './files.mjs';

/** @typedef {import('#dist/results/run-schema.js').RunRecord} RunRecord */
/** @typedef {'smollm2-135m' | 'tinyllama-1.1b' | 'llama-2-7b' | 'llama-65b'} Suite */
/** @typedef {{ at: number, bytes: number }} Sample memory in use on the card, seconds since 1970 */
/** @typedef {{ of: (suite: Suite) => readonly RunRecord[], samples: readonly Sample[] }} Runs */

/** @type {readonly Suite[]} */
export const SUITES = ['smollm2-135m', 'tinyllama-1.1b', 'llama-2-7b', 'llama-65b'];

/** @param {string} folder @returns {Runs} */
export function readRuns(folder) {
  const bySuite = new Map(SUITES.map((suite) => [suite, runsBelow(path.join(folder, suite))]));
  const samples = filesOf(folder, /^gpu-memory-.*\.txt$/).flatMap((file) => samplesOf(text(folder, file) ?? ''));
  return { of: (suite) => bySuite.get(suite) ?? [], samples };
}

/**
 * The last successful run of every arm and seed below a folder.
 * @param {string} folder
 */
function runsBelow(folder) {
  /** @type {Map<string, RunRecord>} */
  const found = new Map();
  const walk = (/** @type {string} */ directory) => {
    for (const entry of readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = path.join(directory, entry.name);
      if (entry.isDirectory()) walk(file);
      else if (entry.name.endsWith('.run.json')) {
        /** @type {RunRecord} */
        const run = JSON.parse(readFileSync(file, 'utf8'));
        const { arm, seed, status } = run.run_info;
        if (status === 'success') found.set(`${arm} ${seed}`, run);
      }
    }
  };
  if (existsSync(folder)) walk(folder);
  return [...found.values()];
}

/** @param {string} content lines of `seconds-since-1970 MiB` */
function samplesOf(content) {
  return content
    .split('\n')
    .map((line) => line.split(' ').map(Number))
    .filter(([at, mib]) => at > 0 && Number.isFinite(mib))
    .map(([at, mib]) => ({ at, bytes: mib * 2 ** 20 }));
}

/** @param {readonly RunRecord[]} runs @param {string} arm */
export const ofArm = (runs, arm) => runs.filter((run) => run.run_info.arm === arm);

/** @param {readonly RunRecord[]} runs @param {string} arm @returns the median step over all seeds */
export function stepMs(runs, arm) {
  const steps = ofArm(runs, arm).flatMap((run) => run.train_info.step_time_ms?.values ?? []);
  return steps.length === 0 ? null : median(steps);
}

/** @param {readonly RunRecord[]} runs @param {string} arm */
export function peakBytes(runs, arm) {
  const peaks = ofArm(runs, arm).flatMap((run) => run.train_info.memory?.allocated.peak ?? []);
  return peaks.length === 0 ? null : largest(peaks);
}

/**
 * Tokens of a step over its median time: what one slow step does to a mean is left out.
 * @param {readonly RunRecord[]} runs
 * @param {string} arm
 */
export function tokensPerSecond(runs, arm) {
  const [run] = ofArm(runs, arm);
  const history = run?.train_info.history ?? [];
  const tokens = (history.at(-1)?.num_input_tokens_seen ?? 0) / history.length;
  const ms = stepMs(runs, arm);
  return ms === null || !(tokens > 0) ? null : (1000 * tokens) / ms;
}

/**
 * The most that nvidia-smi saw in use on the card while a run went on, less what was in use as it began.
 * @param {readonly RunRecord[]} runs
 * @param {readonly Sample[]} samples
 */
export function driverPeak(runs, samples) {
  const peaks = runs.flatMap(({ run_info: { created_at, total_time } }) => {
    const from = Date.parse(created_at) / 1000;
    const to = from + (total_time ?? 0);
    const during = samples.filter(({ at }) => at >= from && at <= to).map(({ bytes }) => bytes);
    const before = samples.findLast(({ at }) => at < from);
    return during.length === 0 ? [] : [largest(during) - (before?.bytes ?? smallest(during))];
  });
  return peaks.length === 0 ? null : largest(peaks);
}
