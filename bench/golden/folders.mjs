/** Folders of golden files: what is listed, what is there, and how two of them compare. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { difference } from './numbers.mjs';

/** Entries of versions.json that are no packages. */
const NO_PACKAGE = new Set(['python', 'script']);

/**
 * script null: it cannot be made the same again; needs: packages that no other folder needs
 * @returns {{ folder: string, script: string | null, because?: string, needs?: string[] }[]}
 */
function entries(golden) {
  return JSON.parse(readFileSync(path.join(golden, 'make', 'goldens.json'), 'utf8'));
}

/** @returns {{ folder: string, script: string, needs?: string[] }[]} in the order in which the scripts have to run */
export function listed(golden) {
  return entries(golden).filter(({ script }) => script !== null);
}

/** @returns {{ folder: string, because: string }[]} folders that are left alone */
export function leftAlone(golden) {
  return entries(golden).filter(({ script }) => script === null);
}

/** Folders that no script is listed for: nobody could say where their numbers come from. */
export function unlisted(golden) {
  const known = new Set(entries(golden).map(({ folder }) => folder));
  return readdirSync(golden, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'make' && !known.has(entry.name))
    .map((entry) => entry.name);
}

/** @returns {Map<string, string>} the recorded version of every package that made one of the folders */
export function recordedVersions(golden, folders) {
  const wanted = new Map();
  for (const folder of folders) {
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

/** Every file below a folder, by its path from there. */
export function filesIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

/** @returns {{ file: string, verdict: 'equal' | 'rounding' | 'differs', words: string }[]} one for every file on either side */
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
