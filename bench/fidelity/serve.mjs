#!/usr/bin/env node
/** Tasks scored by lm-eval itself against a running `nibble serve`, item by item against `nibble eval`; base and adapter of the tiny model. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { chosenDevice, nameOf } from '../shared/device.mjs';
import { ROOT } from '../shared/record.mjs';
import { options, python, record, withScratch } from './peer.mjs';
import { writeServedGolden } from './served-golden.mjs';
import { taskFigures } from './task-figures.mjs';

/** @typedef {import('./task-figures.mjs').Sample} Sample */
/** @typedef {import('./served-golden.mjs').Exchange} Exchange */
/** @typedef {{ exchanges: Exchange[], samples: Record<string, Sample[]> }} Scored */

const TINY = path.join(ROOT, 'bench/models/tiny');
const GOLDEN = path.join(ROOT, 'test/golden/eval');
const ADAPTER = `${path.join(GOLDEN, 'adapter')}=judge`;
const CLI = path.join(ROOT, 'dist/cli/main.js');
const ENTRIES = /** @type {const} */ ({ base: 'base', adapter: 'judge' });
/** lm-eval keeps a place for a token that it throws away, and another for its target: so its items are as long as those of 512 tokens. */
const LM_EVAL_PLACES = 2;
const ENV = { NIBBLE_DEVICE: 'lavapipe', ...process.env };

/** The tiny model, said to have a longer context; its rotary angles do not depend on it. @param {string} folder @returns {number} */
function widened(folder) {
  cpSync(TINY, folder, { recursive: true });
  const file = path.join(folder, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8'));
  config.max_position_embeddings += LM_EVAL_PLACES;
  writeFileSync(file, JSON.stringify(config));
  return config.max_position_embeddings;
}

/** @template T @param {string} model @param {(url: string) => T} work @returns {Promise<T>} */
async function served(model, work) {
  const args = [CLI, 'serve', model, '--adapter', ADAPTER, '--port', '0', '--json'];
  const child = spawn(process.execPath, args, { env: ENV, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  try {
    const first = await Promise.race([once(child.stdout, 'data'), ended.then(() => null)]);
    if (first === null) throw new Error('nibble serve ended before it took requests');
    return work(JSON.parse(String(first[0])).url);
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

/** @param {string} folder @returns {Record<'base' | 'adapter', Record<string, Sample[]>>} nibble eval's own samples, by task */
function evaluated(folder) {
  if (!existsSync(folder)) {
    const given = ['--tasks', 'tasks', '--output_path', folder, '--bootstrap_iters', '0'];
    const { status } = spawnSync(process.execPath, [CLI, 'eval', TINY, '--adapter', ADAPTER, ...given], {
      cwd: GOLDEN,
      env: ENV,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    if (status !== 0) throw new Error(`nibble eval ended with ${status}`);
  }
  const samplesOf = (/** @type {string} */ name) =>
    Object.fromEntries(
      readdirSync(path.join(folder, name))
        .filter((file) => file.startsWith('samples_'))
        .map((file) => {
          const lines = readFileSync(path.join(folder, name, file), 'utf8')
            .trim()
            .split('\n');
          const task = file.slice('samples_'.length).replace(/_\d{4}-.*$/, '');
          return [task, lines.map((line) => JSON.parse(line))];
        }),
    );
  return { base: samplesOf(ENTRIES.base), adapter: samplesOf(ENTRIES.adapter) };
}

const given = options(
  'serve',
  'Takes some minutes of a CPU; what --scratch has from an earlier call is used. Writes test/golden/served as well.',
);
await withScratch(given, async (root) => {
  mkdirSync(root, { recursive: true });
  const file = path.join(root, 'lm-eval.json');
  const model = path.join(root, 'base');
  const context = widened(model);
  if (!existsSync(file)) await served(model, (url) => python(given, 'serve.py', url, model, String(context), file));
  const own = evaluated(path.join(root, 'nibble-eval'));
  /** @type {{ versions: Record<string, string>, base: Scored, adapter: Scored }} */
  const found = JSON.parse(readFileSync(file, 'utf8'));
  const runtime = await openNodeRuntime(chosenDevice('lavapipe'));
  const adapter = nameOf(runtime.device);
  await runtime.close();
  const figures = /** @type {const} */ (['base', 'adapter']).flatMap((entry) =>
    Object.entries(found[entry].samples).flatMap(([task, rows]) =>
      taskFigures(`${task}, ${entry}`, rows, own[entry][task] ?? []),
    ),
  );
  writeServedGolden(found, context);
  const title = 'Tasks scored by lm-eval through nibble serve (local-completions), item by item against nibble eval';
  record(given, 'serve', { row: 8, title, adapter, versions: found.versions, figures });
});
