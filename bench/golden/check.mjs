#!/usr/bin/env node
/** Makes the golden files again in a scratch copy and compares them: `npm run golden:check`. */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf, readArguments } from '../shared/options.mjs';
import { compareFolders, leftAlone, listed, recordedVersions, unlisted } from './folders.mjs';
import { ROUNDING } from './numbers.mjs';
import { checkPython, runScript, Unavailable } from './python.mjs';

const USAGE = `usage: npm run golden:check [-- FOLDER... options]
Makes the golden files of these folders of test/golden, or of all, again in a scratch copy and compares them. Needs Python with
the recorded packages; PYTHON chooses it. Exit code 0: all equal, but for the rounding of another CPU (ROUNDING in numbers.mjs);
1: some differ or could not be made; 2: no such Python.
  --any-version  other versions of the packages will do
  --keep         keeps the scratch copy`;
const GOLDEN = fileURLToPath(new URL('../../test/golden/', import.meta.url));

/** @param {readonly string[]} names */
function chosen(names) {
  const all = listed(GOLDEN);
  const strange = names.filter((name) => !all.some(({ folder }) => folder === name));
  if (strange.length > 0)
    throw new Unavailable(
      `no golden folder ${strange.join(', ')}; there are ${all.map(({ folder }) => folder).join(', ')}`,
    );
  if (names.length > 0) return all.filter(({ folder }) => names.includes(folder));
  for (const { folder, needs } of all)
    if (needs !== undefined) console.log(`${folder}: left out; it needs ${needs.join(' and ')}. Name it to make it`);
  return all.filter(({ needs }) => needs === undefined);
}

/**
 * Only the folder that is made is emptied: scripts may read what others made.
 * @param {string} python
 * @param {import('./folders.mjs').Made} golden
 * @param {string} scratch
 */
function remake(python, { folder, script }, scratch) {
  const place = path.join(scratch, folder);
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  const { ok, seconds, tail } = runScript(python, script, path.join(scratch, 'make'));
  console.log(`\n${folder}: ${script}, ${seconds.toFixed(0)} s`);
  if (!ok) {
    console.log(`  it failed:\n${tail.replaceAll(/^/gm, '    ')}`);
    return { equal: 0, rounding: 0, differs: 1 };
  }
  const counts = { equal: 0, rounding: 0, differs: 0 };
  for (const { file, verdict, words } of compareFolders(place, path.join(GOLDEN, folder))) {
    counts[verdict]++;
    console.log(`  ${LABELS[verdict]}  ${file}${words === '' ? '' : `: ${words}`}`);
  }
  return counts;
}

const LABELS = { equal: 'equal   ', rounding: 'rounding', differs: 'DIFFERS ' };
const WITHIN = Object.entries(ROUNDING)
  .map(([kind, bound]) => `${kind} ${bound.toExponential(0)}`)
  .join(', ');

function main() {
  const { values, positionals } = readArguments(USAGE, {
    'any-version': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  });
  const goldens = chosen(positionals);
  const python = process.env.PYTHON || 'python3';
  const wanted = recordedVersions(
    GOLDEN,
    goldens.map(({ folder }) => folder),
  );
  const version = checkPython(python, wanted, values['any-version']);
  console.log(`Python ${version} (${python}); ${goldens.length} folders to make`);
  const scratch = mkdtempSync(path.join(tmpdir(), 'nibble-golden-'));
  try {
    cpSync(GOLDEN, scratch, { recursive: true });
    const results = goldens.map((golden) => remake(python, golden, scratch));
    const count = (/** @type {keyof typeof LABELS} */ verdict) =>
      results.reduce((sum, result) => sum + result[verdict], 0);
    for (const { folder, because } of leftAlone(GOLDEN)) console.log(`\n${folder}: not made again (${because})`);
    const strays = unlisted(GOLDEN);
    for (const folder of strays)
      console.log(`\n${folder}: no script is listed for it in test/golden/make/goldens.json`);
    console.log(
      `\n${count('equal')} files equal, ${count('rounding')} within rounding (${WITHIN}), ${count('differs')} different` +
        `${values.keep ? `; made in ${scratch}` : ''}`,
    );
    return count('differs') === 0 && strays.length === 0 ? 0 : 1;
  } finally {
    if (!values.keep) rmSync(scratch, { recursive: true, force: true });
  }
}

try {
  process.exitCode = main();
} catch (error) {
  if (!(error instanceof Unavailable)) throw error;
  console.error(`golden:check: ${messageOf(error)}`);
  process.exitCode = 2;
}
