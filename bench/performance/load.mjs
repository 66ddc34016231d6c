#!/usr/bin/env node
/**
 * Seconds from nothing on the GPU to loaded weights and compiled pipelines, of two built checkouts in turn, and the resident
 * memory that took. A process per run.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { median } from 'simple-statistics';
import { parseModelConfig } from '#dist/formats/hf-config.js';
import { writeSafetensors } from '#dist/formats/safetensors-write.js';
import { parametersOf } from '#dist/model/modules.js';
import { nodeWriter } from '#dist/node/files.js';
import { LoadWatch } from '../shared/clock.mjs';
import { chosenDevice } from '../shared/device.mjs';
import { checkouts, count, readOptions } from '../shared/options.mjs';
import { commitOf, writeRecord } from '../shared/record.mjs';
import { writeRows } from '../shared/training.mjs';
import { inTurns } from './sampling.mjs';

const USAGE = `usage: node bench/performance/load.mjs --before DIR --after DIR [options]   NIBBLE_DEVICE picks the device (lavapipe)
Each checkout brings its own bench/performance/load-point.mjs. The models have random weights in safetensors files of a temporary
folder (1 GB), which the page cache holds.
  --rounds N     (5)
  --record FILE  writes what was measured`;
const flags = readOptions(USAGE, {
  before: { type: 'string' },
  after: { type: 'string' },
  rounds: { type: 'string', default: '5' },
  record: { type: 'string' },
});
const trees = checkouts(flags);
const rounds = count('rounds', flags.rounds);
const device = chosenDevice('lavapipe');

const MIB = 2 ** 20;
const TOKENS = 64;
const MODELS = {
  // most tensors are smaller than a slab
  'SmolLM2-135M shapes': {
    vocab_size: 49_152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
  },
  // half of TinyLlama's width: several slabs each
  '16 layers of width 1024': {
    vocab_size: 32_000,
    hidden_size: 1024,
    intermediate_size: 2816,
    num_hidden_layers: 16,
    num_attention_heads: 16,
    num_key_value_heads: 16,
  },
};

/** @typedef {import('./load-point.mjs').LoadPoint} LoadPoint */
/** @typedef {'before' | 'after'} Side */
/** @type {readonly Side[]} */
const SIDES = ['before', 'after'];

/** bf16 of magnitudes near 0.01, either sign; every tensor repeats them. */
const POOL = new Uint8Array(
  Uint16Array.from({ length: 2 * MIB }, (_, i) => 0x3c00 + ((i * 40_503) % 512) + (i % 2) * 0x8000).buffer,
);

/** @param {number} bytes */
function* weights(bytes) {
  for (let at = 0; at < bytes; at += POOL.length) yield POOL.subarray(0, Math.min(POOL.length, bytes - at));
}

/** @param {string} directory is made @param {object} shape @returns bytes of its weights */
async function writeModel(directory, shape) {
  const config = {
    ...shape,
    architectures: ['LlamaForCausalLM'],
    max_position_embeddings: TOKENS,
    dtype: 'bfloat16',
    tie_word_embeddings: true,
  };
  let total = 0;
  const tensors = parametersOf(parseModelConfig(config)).map((parameter) => {
    const bytes = 2 * parameter.shape.reduce((product, size) => product * size, 1);
    total += bytes;
    return {
      name: parameter.name,
      shape: parameter.shape,
      dtype: /** @type {const} */ ('BF16'),
      data: () => weights(bytes),
    };
  });
  await writeSafetensors(nodeWriter(directory), 'model.safetensors', tensors);
  writeFileSync(path.join(directory, 'config.json'), JSON.stringify(config));
  writeRows(directory, [Array.from({ length: TOKENS }, (_, i) => i)]);
  return total;
}

/** @param {string} tree @param {string} directory @param {string} method @returns {LoadPoint} */
function measure(tree, directory, method) {
  const script = path.join(tree, 'bench/performance/load-point.mjs');
  const env = { ...process.env, NIBBLE_DEVICE: device };
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, directory, method], {
    encoding: 'utf8',
    env,
  });
  if (status !== 0) throw new Error(`${tree}: a run ended with ${status}\n${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

const root = mkdtempSync(path.join(os.tmpdir(), 'nibble-load-'));
const load = new LoadWatch();
/** @type {import('../shared/records.mjs').Figure[]} */
const figures = [];

/** @param {string} directory @param {string} method @param {string} what */
async function compare(directory, method, what) {
  /** @type {Record<Side, LoadPoint[]>} */
  const seen = { before: [], after: [] };
  await inTurns(rounds, (side) => {
    seen[side].push(measure(trees[side], directory, method));
    load.look();
  });
  /** @param {Side} side @param {keyof LoadPoint} key */
  const middle = (side, key) => median(seen[side].map((run) => run[key]));
  for (const side of SIDES) {
    const [ready, mib] = [middle(side, 'ready'), middle(side, 'resident') / MIB];
    console.log(
      `${what}, ${side}: loaded ${middle(side, 'load').toFixed(2)} s, ready ${ready.toFixed(2)} s, ` +
        `CPU ${middle(side, 'cpu').toFixed(2)} s, ${mib.toFixed(0)} MiB more resident at most`,
    );
    figures.push(
      { what: `${what}: loaded and compiled, ${side}`, reached: ready, bound: null, unit: 's' },
      { what: `${what}: resident memory, most it grew by, ${side}`, reached: mib, bound: null, unit: 'MiB' },
    );
  }
  const paired = median(seen.before.map((run, i) => run.ready / seen.after[i].ready));
  console.log(`${what}: before / after ${paired.toFixed(2)}`);
  figures.push({ what: `${what}: before over after, median of pairs`, reached: paired, bound: null, unit: 'times' });
}

try {
  for (const [name, shape] of Object.entries(MODELS)) {
    const directory = path.join(root, name.replaceAll(' ', '-'));
    const bytes = await writeModel(directory, shape);
    for (const method of ['lora', 'qlora'])
      await compare(directory, method, `${method}, ${name} (${Math.round(bytes / MIB)} MiB of bf16)`);
    rmSync(directory, { recursive: true });
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
if (flags.record)
  writeRecord(flags.record, {
    row: 11,
    title: 'Loading a model',
    command: `NIBBLE_DEVICE=${device} node bench/performance/load.mjs --before DIR --after DIR --rounds ${rounds} --record FILE`,
    adapter: device,
    load,
    versions: { before: commitOf(trees.before), after: commitOf(trees.after) },
    figures,
  });
