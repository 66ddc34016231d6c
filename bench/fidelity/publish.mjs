#!/usr/bin/env node
/** Measures what needs no Python and makes docs/fidelity.md of every record in results/fidelity: `npm run fidelity`. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readOptions } from '../shared/options.mjs';
import { ROOT } from '../shared/record.mjs';
import { inWords, misses, readRecords } from '../shared/records.mjs';
import { ROWS, renderPage } from './page.mjs';

const USAGE = `usage: npm run fidelity [-- options]
Measures logits and training against the golden files (test/fidelity), writes results/fidelity, and makes docs/fidelity.md of
every record there. Exit code 1: a figure misses its bound, or a test failed.
  --page-only      measures nothing
  --check          writes nothing, and fails where the page is not what the records make
  --results DIR    folder of the records  (results/fidelity)
  --page FILE      (docs/fidelity.md)`;

/** Tests that write a record where NIBBLE_FIDELITY_OUT names a folder. */
const TESTS = [
  'test/fidelity/logits.test.ts',
  'test/fidelity/training.test.ts',
  'test/fidelity/planted-bugs.test.ts',
  'test/train/trainer.test.ts',
  'test/train/packing-runs.test.ts',
  'test/train/peft-options.test.ts',
];

/** @param {string} folder @returns whether all tests passed */
function measure(folder) {
  mkdirSync(folder, { recursive: true });
  const vitest = path.join(ROOT, 'node_modules/vitest/vitest.mjs');
  const env = { ...process.env, NIBBLE_FIDELITY_OUT: folder };
  return spawnSync(process.execPath, [vitest, 'run', ...TESTS], { cwd: ROOT, env, stdio: 'inherit' }).status === 0;
}

/** @param {readonly import('../shared/records.mjs').StoredRecord[]} records */
function report(records) {
  for (const [i, title] of ROWS.entries()) {
    const figures = records.filter(({ row }) => row === i + 1).flatMap((record) => record.figures);
    const missed = figures.filter(misses);
    const state =
      figures.length === 0 ? 'not measured' : `${figures.length} figures, ${missed.length} miss their bound`;
    console.log(`${i + 1}. ${title}: ${state}`);
    for (const figure of missed) console.log(`   ${inWords(figure)}`);
  }
}

const values = readOptions(USAGE, {
  'page-only': { type: 'boolean' },
  check: { type: 'boolean' },
  results: { type: 'string', default: path.join(ROOT, 'results/fidelity') },
  page: { type: 'string', default: path.join(ROOT, 'docs/fidelity.md') },
});
const passed = values.check || values['page-only'] ? true : measure(path.resolve(values.results));
const records = readRecords(values.results, ROWS, 'results/fidelity');
const page = renderPage(records);
if (values.check) {
  if (readFileSync(values.page, 'utf8') !== page) {
    console.error('docs/fidelity.md is not what results/fidelity makes: run `npm run fidelity -- --page-only`');
    process.exitCode = 1;
  }
} else {
  writeFileSync(values.page, page);
  report(records);
  if (!passed) console.error('A test failed: a record that it did not write again has the figures of an earlier run.');
  if (!passed || records.some(({ figures }) => figures.some(misses))) process.exitCode = 1;
}
