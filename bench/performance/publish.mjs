#!/usr/bin/env node
/** Measures, and makes docs/performance.md and its pictures of every record in results/performance: `npm run performance`. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gpuRecords } from '../gpu-host/records.mjs';
import { checkouts, readOptions } from '../shared/options.mjs';
import { ROOT } from '../shared/record.mjs';
import { inWords, misses, readRecords } from '../shared/records.mjs';
import { drawPictures } from './charts.mjs';
import { renderPage } from './page.mjs';
import { ROWS } from './promises.mjs';

const USAGE = `usage: npm run performance [-- options]
Measures, writes results/performance, and makes docs/performance.md and its pictures of every record there and of
results/gpu-host, where the results of bench/gpu-host/gpu-host.sh were unpacked there. Exit code 1: a figure misses its bound.
  --python PYTHON           measures bitsandbytes too, which that Python has
  --before DIR --after DIR  measures two checkouts, both built, against each other
  --page-only               measures nothing
  --check                   writes nothing, and fails where a file is not what the records make`;

const HERE = path.join(ROOT, 'bench/performance');
const RESULTS = path.join(ROOT, 'results/performance');

const values = readOptions(USAGE, {
  'page-only': { type: 'boolean' },
  check: { type: 'boolean' },
  python: { type: 'string' },
  before: { type: 'string' },
  after: { type: 'string' },
});

/** @returns whether every measurement came to its end, within its bounds */
function measure() {
  /** @type {(script: string, args: readonly string[], env?: Record<string, string>) => boolean} */
  const run = (script, args, env = {}) => {
    const options = /** @type {const} */ ({ cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env } });
    return spawnSync(process.execPath, [path.join(HERE, script), ...args], options).status === 0;
  };
  /** @type {(name: string) => string[]} */
  const into = (name) => ['--record', path.join(RESULTS, `${name}.json`)];
  const done = [
    run('memory-curves.mjs', ['--record', RESULTS]),
    run('replay.mjs', into('replay')),
    run('decode-curves.mjs', into('decode')),
  ];
  if (values.python) done.push(run('quantize-peer.mjs', ['--python', values.python, ...into('quantize')]));
  if (values.before || values.after) {
    const { before, after } = checkouts(values);
    const trees = ['--before', before, '--after', after];
    done.push(run('kernels-paired.mjs', [...trees, ...into('kernels')]));
    for (const device of ['lavapipe', 'swiftshader'])
      done.push(run('quick-suite.mjs', [...trees, ...into(`quick-${device}`)], { NIBBLE_DEVICE: device }));
  }
  return done.every(Boolean);
}

const passed = values.check || values['page-only'] ? true : measure();
const records = [
  ...gpuRecords(path.join(ROOT, 'results/gpu-host')),
  ...readRecords(RESULTS, ROWS, 'results/performance'),
];
const pictures = await drawPictures(records);
const files = new Map([['docs/performance.md', renderPage(records, pictures)]]);
for (const { file, svg } of pictures) files.set(`docs/performance/${file}`, `${svg}\n`);
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
for (const figure of missed) console.error(inWords(figure));
if (!values.check && (!passed || missed.length > 0)) process.exitCode = 1;
