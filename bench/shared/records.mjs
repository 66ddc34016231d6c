/** The records below results/: one JSON file for each thing that was measured. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * @typedef {object} Figure
 * @property {string} what
 * @property {number | null} reached null where it was not a number
 * @property {number | null} bound null where nothing was promised
 * @property {boolean} [least] the bound is the least that is good enough, instead of the most
 * @property {string} unit
 * @property {string} [note]
 */

/** @typedef {{ x: number, y: number }} Point */

/**
 * @typedef {object} Curve a line of a picture, and the point of it that was run
 * @property {string} picture
 * @property {string} [method]
 * @property {string} [checkpointing]
 * @property {number} [tokens]
 * @property {readonly Point[]} values
 * @property {Point | null} run
 */

/**
 * @typedef {object} StoredRecord what record.mjs writes
 * @property {number} row of the page, from 1
 * @property {string} title
 * @property {string} command
 * @property {string} measured the day, as 2026-01-02
 * @property {Readonly<Record<string, string | number>>} environment
 * @property {readonly Figure[]} figures
 * @property {string} [remark]
 * @property {readonly Curve[]} [curves]
 */

/** Records that come first in their row, in this order: what the others of the row build on. */
const FIRST = ['training', 'training-planted-bugs', 'trainer', 'packing'];

/**
 * @param {string} a
 * @param {string} b
 */
function inOrder(a, b) {
  const rank = (/** @type {string} */ name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

/**
 * @param {string} folder need not exist
 * @param {readonly string[]} rows titles of the page's rows
 * @param {string} name of the folder in messages
 * @returns {StoredRecord[]} by row, then those named in FIRST, then by file name
 * @throws Error naming the file and what it lacks
 */
export function readRecords(folder, rows, name) {
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.json')) : [];
  return files
    .map((file) => file.slice(0, -'.json'.length))
    .sort(inOrder)
    .map((file) => `${file}.json`)
    .map((file) => checked(`${name}/${file}`, JSON.parse(readFileSync(path.join(folder, file), 'utf8')), rows))
    .sort((a, b) => a.row - b.row);
}

/**
 * @param {string} file
 * @param {StoredRecord} record as it was read: nothing about it is sure yet
 * @param {readonly string[]} rows
 */
function checked(file, record, rows) {
  const wrong = (/** @type {string} */ what) => new Error(`${file}: ${what}`);
  if (!Number.isInteger(record.row) || record.row < 1 || record.row > rows.length)
    throw wrong(`row is ${record.row}, needs 1 to ${rows.length}`);
  for (const key of /** @type {const} */ (['title', 'command', 'measured']))
    if (typeof record[key] !== 'string' || record[key] === '') throw wrong(`${key} is missing`);
  if (typeof record.environment !== 'object' || record.environment === null) throw wrong('environment is missing');
  if (!Array.isArray(record.figures) || record.figures.length === 0) throw wrong('it has no figures');
  for (const { what, reached, bound, unit } of record.figures) {
    if (typeof what !== 'string' || typeof unit !== 'string') throw wrong('a figure lacks what or unit');
    if (reached !== null && typeof reached !== 'number') throw wrong(`${what}: reached is ${reached}, needs a number`);
    if (bound !== null && typeof bound !== 'number') throw wrong(`${what}: bound is ${bound}, needs a number or null`);
  }
  return record;
}

/**
 * JSON has no NaN: it arrives as null, and misses every bound.
 * @param {Pick<Figure, 'reached' | 'bound' | 'least'>} figure
 */
export function misses({ reached, bound, least = false }) {
  return bound !== null && (reached === null || !(least ? reached >= bound : reached <= bound));
}

/** @param {Figure} figure */
export function inWords({ what, reached, bound, unit }) {
  return `${what}: ${reached} ${unit}${bound === null ? '' : `, bound ${bound}`}`;
}
