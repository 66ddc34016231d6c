/** What the scripts that measure against the originals share: arguments, the Python side, and the record. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readOptions } from '../shared/options.mjs';
import { ROOT, writeRecord } from '../shared/record.mjs';
import { inWords, misses } from '../shared/records.mjs';

/** @typedef {import('../shared/records.mjs').Figure} Figure */
/** @typedef {{ python: string, scratch?: string, out: string }} Given */

const HERE = fileURLToPath(new URL('.', import.meta.url));

/**
 * @param {string} name of the script
 * @param {string} about what it measures, and what it needs
 * @returns {Given}
 */
export function options(name, about) {
  const usage = `usage: npm run build && node bench/fidelity/${name}.mjs --python PYTHON [options]
${about} Exit code 1: a figure misses its bound.
  --python PYTHON  with the packages that README.md in its folder names  (python3)
  --scratch DIR    is kept; without it a temporary folder is used
  --out DIR        gets the record  (results/fidelity)`;
  return readOptions(usage, {
    python: { type: 'string', default: 'python3' },
    scratch: { type: 'string' },
    out: { type: 'string', default: path.join(ROOT, 'results/fidelity') },
  });
}

/**
 * Runs `work` with a scratch folder that is gone afterwards, unless --scratch names one.
 * @template T
 * @param {Given} given
 * @param {(folder: string) => Promise<T>} work
 */
export async function withScratch({ scratch }, work) {
  const folder = scratch ?? mkdtempSync(path.join(tmpdir(), 'nibble-fidelity-'));
  mkdirSync(folder, { recursive: true });
  try {
    return await work(folder);
  } finally {
    if (scratch === undefined) rmSync(folder, { recursive: true });
  }
}

/**
 * Runs a script of this folder.
 * @param {Given} given
 * @param {string} script
 * @param {string[]} args
 * @returns {string} what it prints
 */
export function python({ python: program }, script, ...args) {
  return execFileSync(program, [path.join(HERE, script), ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 2 ** 28,
  });
}

/**
 * The largest difference over the largest value; NaN, which misses every bound, when any element is or the lengths differ.
 * @param {Float32Array} got
 * @param {Float32Array} want
 */
export function relativeError(got, want) {
  if (got.length !== want.length) return Number.NaN;
  let [worst, largest] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    worst = Math.max(worst, Math.abs(got[i] - want[i])); // Math.max keeps a NaN
    largest = Math.max(largest, Math.abs(want[i]));
  }
  return worst / largest;
}

/**
 * Prints the figures and writes the record. Exit code 1 when one is past its bound.
 * @param {Given} given
 * @param {string} name of the script and of the record
 * @param {Omit<import('../shared/record.mjs').Measurement, 'command'>} measurement
 * @param {string} [flags] that the script needs besides --python
 */
export function record({ out }, name, measurement, flags = '') {
  const command = `npm run build && node bench/fidelity/${name}.mjs --python PYTHON${flags}`;
  writeRecord(path.join(out, `${name}.json`), { ...measurement, command });
  const { figures } = measurement;
  for (const figure of figures) console.log(`${misses(figure) ? '! ' : '  '}${inWords(figure)}`);
  process.exitCode = figures.some(misses) ? 1 : 0;
}
