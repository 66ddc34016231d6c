#!/usr/bin/env node
/** An adapter that `nibble export` wrote, run by llama.cpp (node-llama-cpp) on SmolLM2-135M-Instruct as F32 GGUF: greedy tokens against `nibble generate`'s. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { readOptions, refuse } from '../shared/options.mjs';
import { ROOT } from '../shared/record.mjs';
import { tokenFigure } from './greedy.mjs';
import { python, record } from './peer.mjs';

const TOKENS = 64;
const USAGE = `usage: npm run build && node bench/fidelity/llama-cpp.mjs --scratch DIR --node-llama-cpp FOLDER [options]
Holds llama.cpp with an exported adapter against nibble generate. Exit code 1: a figure misses its bound.
  --scratch DIR            of an earlier generate.mjs, which has the base, the adapter and nibble's tokens
  --node-llama-cpp FOLDER  in which npm installed it
  --python PYTHON          with the packages that README.md in its folder names  (python3)
  --out DIR                gets the record  (results/fidelity)`;
const { scratch, ...given } = readOptions(USAGE, {
  scratch: { type: 'string' },
  'node-llama-cpp': { type: 'string' },
  python: { type: 'string', default: 'python3' },
  out: { type: 'string', default: path.join(ROOT, 'results/fidelity') },
});
const folder = given['node-llama-cpp'];
if (scratch === undefined || folder === undefined) refuse('wanted --scratch DIR and --node-llama-cpp FOLDER');
const root = path.resolve(scratch);
const at = (/** @type {string} */ name) => path.join(root, name);
if (!existsSync(at('nibble-f32.jsonl')))
  refuse(`${root} has no nibble-f32.jsonl: run generate.mjs with --scratch ${scratch} first`);

/** @typedef {{ decode: (ids: number[]) => AsyncIterable<number>, close: () => Promise<void> }} Session */

/** node-llama-cpp is no dependency of the project: it is found where it was installed, and has no types here. */
async function llamaCpp() {
  const require = createRequire(path.join(path.resolve(/** @type {string} */ (folder)), 'package.json'));
  const entry = require.resolve('node-llama-cpp');
  const { getLlama } = await import(pathToFileURL(entry).href);
  const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false });
  const { version } = JSON.parse(readFileSync(path.join(path.dirname(entry), '../package.json'), 'utf8'));
  return { llama, versions: { 'node-llama-cpp': version, 'llama.cpp': llama.llamaCppRelease.release } };
}

/** One thread, cache in float32: sums in one order. @param {any} model @param {string | null} adapter @returns {Promise<Session>} */
async function session(model, adapter) {
  const context = await model.createContext({
    threads: 1,
    contextSize: 256,
    flashAttention: false,
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
    ...(adapter === null ? {} : { lora: { adapters: [{ filePath: adapter, scale: 1 }] } }),
  });
  const sequence = context.getSequence();
  return {
    decode: (ids) => sequence.evaluate(ids, { temperature: 0, yieldEogToken: true }),
    close: () => context.dispose(),
  };
}

/** @param {any} model @param {string | null} adapter @param {number[]} ids */
async function greedy(model, adapter, ids) {
  const { decode, close } = await session(model, adapter);
  const tokens = [];
  for await (const token of decode(ids)) if (tokens.push(token) === TOKENS) break;
  await close();
  return tokens;
}

/** @param {string} name */
const lines = (name) => readFileSync(at(name), 'utf8').trim().split('\n');

rmSync(at('adapter.gguf'), { force: true });
const cli = path.join(ROOT, 'dist/cli/main.js');
execFileSync(process.execPath, [
  ...[cli, 'export', at('adapter-init'), '--gguf', at('adapter.gguf'), '--model', at('model-f32')],
]);
/** @type {{ metadata: Record<string, unknown>, tensors: number, types: string[] }} what the gguf package reads */
const read = JSON.parse(python({ ...given, scratch }, 'smollm2_generate.py', 'gguf', root, at('adapter.gguf')));
/** @type {import('./greedy.mjs').Reference} */
const { tie, versions, forms } = JSON.parse(readFileSync(at('greedy.json'), 'utf8'));
const { llama, versions: own } = await llamaCpp();
const model = await llama.loadModel({ modelPath: at('base-f32.gguf') });
/** @type {import('../shared/records.mjs').Figure[]} */
const figures = [
  {
    what: "tensors of the adapter that Python's gguf reads",
    reached: read.tensors,
    bound: null,
    unit: read.types.join(', '),
    note: `alpha ${read.metadata['adapter.lora.alpha']}`,
  },
];
const nibbles = lines('nibble-f32.jsonl').map((line) => JSON.parse(line));
for (const [i, row] of forms.f32.entries()) {
  const tokens = await greedy(model, row.adapter === null ? null : at('adapter.gguf'), row.input_ids);
  // the leads are those of transformers, which has the same base in float32
  const want = { ...row, token_ids: nibbles[i].token_ids };
  figures.push(tokenFigure('llama.cpp: base', tokens, want, { tie, count: TOKENS }));
}
await llama.dispose();
const title =
  'llama.cpp with the exported adapter, against nibble generate: SmolLM2-135M-Instruct as F32 GGUF, F32 cache';
record(
  { ...given, scratch },
  'llama-cpp',
  { row: 7, title, versions: { ...versions, ...own }, figures },
  ' --scratch DIR --node-llama-cpp FOLDER',
);
