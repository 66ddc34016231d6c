/**
 * npm run performance [-- --page-only | --check] [-- --python PYTHON] [-- --before DIR --after DIR]: measures, writes
 * results/performance, and makes docs/performance.md and its pictures of every record there. Without --python bitsandbytes
 * is not measured again, without two built checkouts neither is what was before. Rows of a GPU come from results/gpu-host,
 * where the results of bench/gpu-host/gpu-host.sh were unpacked there. --page-only measures nothing; --check
 * writes nothing and fails where a file is not what the records make. Exit code 1: a figure misses its bound.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as render from '#dist/report/charts/render.js';
import * as theme from '#dist/report/charts/theme.js';
import { gpuRecords } from '../gpu-host/records.mjs';
import { misses, readRecords } from '../shared/records.mjs';
import { drawPictures } from './charts.mjs';
import { renderPage } from './page.mjs';
import { ROWS } from './promises.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const RESULTS = path.join(ROOT, 'results/performance');

function measure({ python, before, after }) {
  const run = (script, ...args) => {
    const command = ['--expose-gc', path.join(ROOT, 'bench/performance', script), ...args];
    return spawnSync(process.execPath, command, { cwd: ROOT, stdio: 'inherit' }).status === 0;
  };
  const into = (name) => ['--record', path.join(RESULTS, `${name}.json`)];
  const trees = ['--before', before, '--after', after];
  const done = [run('memory-curves.mjs', '--record', RESULTS), run('replay.mjs', ...into('replay'))];
  if (python) done.push(run('quantize-peer.mjs', '--python', python, ...into('quantize')));
  if (before && after) {
    done.push(run('kernels-paired.mjs', ...trees, ...into('kernels')));
    for (const adapter of ['lavapipe', 'swiftshader'])
      done.push(run('quick-suite.mjs', ...trees, '--adapter', adapter, ...into(`quick-${adapter}`)));
  }
  return done.every(Boolean);
}

const { values } = parseArgs({
  options: {
    'page-only': { type: 'boolean' },
    check: { type: 'boolean' },
    python: { type: 'string' },
    before: { type: 'string' },
    after: { type: 'string' },
  },
});
const passed = values.check || values['page-only'] ? true : measure(values);
const records = [
  ...gpuRecords(path.join(ROOT, 'results/gpu-host')),
  ...readRecords(RESULTS, ROWS, 'results/performance'),
];
const pictures = await drawPictures(records, { ...render, ...theme });
const files = new Map([
  ['docs/performance.md', renderPage(records, pictures)],
  ...pictures.map(({ file, svg }) => [`docs/performance/${file}`, `${svg}\n`]),
]);
for (const [name, text] of files) {
  const file = path.join(ROOT, name);
  if (!values.check) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  } else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    console.error(`${name} is not what results/performance makes: run \`npm run performance -- --page-only\``);
    process.exitCode = 1;
  }
}
const missed = records.flatMap(({ figures }) => figures.filter(misses));
for (const { what, reached, bound, unit } of missed) console.error(`${what}: ${reached} ${unit}, bound ${bound}`);
if (!values.check && (!passed || missed.length > 0)) process.exitCode = 1;
