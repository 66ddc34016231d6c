/**
 * npm run fidelity [-- --page-only | --check]: measures logits and training against the golden files (test/fidelity), writes
 * results/fidelity, and makes docs/fidelity.md of every record there. --page-only measures nothing; --check writes nothing
 * and fails where the page is not what the records make. Exit code 1: a figure misses its bound, or a test failed.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { misses, ROWS, readRecords } from '../shared/records.mjs';
import { renderPage } from './page.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

function measure(folder) {
  mkdirSync(folder, { recursive: true });
  const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
  const tests = [
    'fidelity/logits',
    'fidelity/training',
    'fidelity/planted-bugs',
    'train/trainer',
    'train/packing-runs',
    'train/peft-options',
  ].map((name) => `test/${name}.test.ts`);
  const env = { ...process.env, NIBBLE_FIDELITY_OUT: folder };
  const ran = spawnSync(process.execPath, [vitest, 'run', ...tests], { cwd: ROOT, env, stdio: 'inherit' });
  return ran.status === 0;
}

function report(records) {
  for (const [i, title] of ROWS.entries()) {
    const figures = records.filter(({ row }) => row === i + 1).flatMap((record) => record.figures);
    const missed = figures.filter(misses);
    const state =
      figures.length === 0 ? 'not measured' : `${figures.length} figures, ${missed.length} miss their bound`;
    console.log(`${i + 1}. ${title}: ${state}`);
    for (const { what, reached, bound, unit } of missed) console.log(`   ${what}: ${reached} ${unit}, bound ${bound}`);
  }
}

const { values } = parseArgs({
  options: {
    'page-only': { type: 'boolean' },
    check: { type: 'boolean' },
    results: { type: 'string', default: `${ROOT}results/fidelity` },
    page: { type: 'string', default: `${ROOT}docs/fidelity.md` },
  },
});
const passed = values.check || values['page-only'] ? true : measure(values.results);
const records = readRecords(values.results);
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
