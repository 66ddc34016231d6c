/** The files that gpu-host.sh leaves in its folder. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** @param {string} folder @param {string} file @returns {string | null} null where it is not there */
export function text(folder, file) {
  const whole = path.join(folder, file);
  return existsSync(whole) ? readFileSync(whole, 'utf8') : null;
}

/**
 * @template T
 * @param {string} folder
 * @param {string} file
 * @returns {T | null} what it says, as its writer promises; null where it is not there
 */
export const json = (folder, file) => JSON.parse(text(folder, file) ?? 'null');

/**
 * Objects a line; where a measurement was ended, those that it had printed until then.
 * @template T
 * @param {string} folder
 * @param {string} file
 * @returns {T[]}
 */
export const lines = (folder, file) =>
  (text(folder, file) ?? text(folder, `${file}.failed`)?.replace(/[^\n]*$/, '') ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** @param {string} folder @param {RegExp} pattern */
export const filesOf = (folder, pattern) =>
  readdirSync(folder)
    .filter((file) => pattern.test(file))
    .sort();

/**
 * @typedef {object} Product a row of bench/performance/matmul.mjs
 * @property {'nt' | 'nn' | 'tn'} op
 * @property {string} shape
 * @property {'f32' | 'f16'} dtype
 * @property {import('#dist/gpu/device-profile.js').Tier} tier
 * @property {number} gflops
 */

/** @param {string} folder @returns {Product[]} without the line that says what the device is */
export const products = (folder) =>
  /** @type {Product[]} */ (lines(folder, 'gemm.jsonl')).filter(({ op }) => op !== undefined);

/** @param {string} folder @returns {{ by: string, shape: string, dtype: string, tflops: number }[]} rows of bench/peers/gemm.py */
export const torchProducts = (folder) => lines(folder, 'gemm-torch.jsonl');

/**
 * @param {number | null | undefined} a
 * @param {number | null | undefined} b
 * @returns {number | null} their ratio, where both were measured
 */
export const over = (a, b) => (typeof a === 'number' && typeof b === 'number' && b > 0 ? a / b : null);
