/** The records of results/fidelity: one JSON file for each thing that was measured. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** What is held against the originals, by row. */
export const ROWS = [
  'Quantized bytes against bitsandbytes',
  'Logits of every architecture against transformers',
  'Training steps of every architecture against PEFT',
  'Files that go both ways',
  'A real pretrained model',
  'Token ids',
];

/** Records that come first in their row, in this order: what the others of the row build on. */
const FIRST = ['training', 'training-planted-bugs', 'trainer', 'packing'];

function inOrder(a, b) {
  const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

/** @returns {object[]} records by row, then those named in FIRST, then by file name. @throws Error naming the file and what it lacks */
export function readRecords(folder, rows = ROWS, name = 'results/fidelity') {
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.json')) : [];
  return files
    .map((file) => file.slice(0, -'.json'.length))
    .sort(inOrder)
    .map((name) => `${name}.json`)
    .map((file) => checked(`${name}/${file}`, JSON.parse(readFileSync(path.join(folder, file), 'utf8')), rows))
    .sort((a, b) => a.row - b.row);
}

function checked(file, record, rows) {
  const wrong = (what) => new Error(`${file}: ${what}`);
  if (!Number.isInteger(record.row) || record.row < 1 || record.row > rows.length)
    throw wrong(`row is ${record.row}, needs 1 to ${rows.length}`);
  for (const key of ['title', 'command', 'measured'])
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

/** JSON has no NaN: it arrives as null, and misses every bound. A bound is the most, with `least` the least. */
export function misses({ reached, bound, least = false }) {
  return bound !== null && (reached === null || !(least ? reached >= bound : reached <= bound));
}
