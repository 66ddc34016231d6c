/** Folders of golden files: what is listed, what is there, and how two of them compare. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { difference } from './numbers.mjs';

/** Entries of versions.json that are no packages. */
const NO_PACKAGE = new Set(['python', 'script']);

/** @typedef {{ folder: string, script: string, needs?: string[] }} Made needs: packages that no other folder needs */
/** @typedef {{ folder: string, script: null, because: string }} Left it cannot be made the same again */
/** @typedef {{ file: string, verdict: 'equal' | 'rounding' | 'differs', words: string }} Compared */

/** @param {string} golden @returns {(Made | Left)[]} */
function entries(golden) {
  return JSON.parse(readFileSync(path.join(golden, 'make', 'goldens.json'), 'utf8'));
}

/** @param {string} golden @returns {Made[]} in the order in which the scripts have to run */
export function listed(golden) {
  return entries(golden).filter((entry) => entry.script !== null);
}

/** @param {string} golden @returns {Left[]} folders that are left alone */
export function leftAlone(golden) {
  return entries(golden).filter((entry) => entry.script === null);
}

/** @param {string} golden @returns folders that no script is listed for: nobody could say where their numbers come from */
export function unlisted(golden) {
  const known = new Set(entries(golden).map(({ folder }) => folder));
  return readdirSync(golden, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'make' && !known.has(entry.name))
    .map((entry) => entry.name);
}

/**
 * @param {string} golden
 * @param {readonly string[]} folders
 * @returns {Map<string, string>} the recorded version of every package that made one of the folders
 */
export function recordedVersions(golden, folders) {
  const wanted = new Map();
  for (const folder of folders) {
    /** @type {Record<string, string>} */
    const versions = JSON.parse(readFileSync(path.join(golden, folder, 'versions.json'), 'utf8'));
    for (const [name, version] of Object.entries(versions)) {
      if (NO_PACKAGE.has(name)) continue;
      const other = wanted.get(name);
      if (other !== undefined && other !== version)
        throw new Error(`${name} is ${version} in ${folder}, ${other} elsewhere: make all golden files with one set`);
      wanted.set(name, version);
    }
  }
  return wanted;
}

/** @param {string} folder @returns every file below it, by its path from there */
export function filesIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}

/** @param {string} made @param {string} committed @returns {Compared[]} one for every file on either side */
export function compareFolders(made, committed) {
  const [have, want] = [new Set(filesIn(made)), new Set(filesIn(committed))];
  return [...new Set([...have, ...want])].sort().map((file) => {
    if (!have.has(file)) return { file, verdict: 'differs', words: 'not made again' };
    if (!want.has(file)) return { file, verdict: 'differs', words: 'made, but not committed' };
    const [a, b] = [readFileSync(path.join(made, file)), readFileSync(path.join(committed, file))];
    if (a.equals(b)) return { file, verdict: 'equal', words: '' };
    const { words, isRounding } = difference(file, a, b);
    return { file, verdict: isRounding ? 'rounding' : 'differs', words };
  });
}
