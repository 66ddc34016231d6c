#!/usr/bin/env node
/** What `nibble quantize` writes, loaded by transformers with bitsandbytes. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isBnb4bit, readBnb4bit } from '#dist/formats/bnb4bit.js';
import { openCheckpoint } from '#dist/formats/checkpoint.js';
import { writeSafetensors } from '#dist/formats/safetensors-write.js';
import { prequantizedState } from '#dist/model/prequantized.js';
import { loadWasmModule } from '#dist/node/codec.js';
import { nodeReader, nodeWriter } from '#dist/node/files.js';
import { dequantize4bit } from '#dist/wasm/buffers.js';
import { Codec } from '#dist/wasm/codec.js';
import { options, python, record, withScratch } from './peer.mjs';

const NIBBLE = fileURLToPath(import.meta.resolve('#dist/cli/main.js'));
const MODELS = ['llama-bf16', 'llama-f32-tied', 'qwen2-f16'];
/** f32 sums in another order: the fused 4-bit product of bitsandbytes against a plain one. */
const F32_NOISE = 1e-5;

const given = options('checkpoints', 'Needs no GPU.');
const codec = new Codec(await loadWasmModule());

/** Settings of one checkpoint, and the name of its folder. */
function* cases() {
  for (const quantType of ['nf4', 'fp4'])
    for (const double of [false, true])
      for (const storage of ['uint8', 'bfloat16']) {
        const flags = ['--bnb_4bit_quant_type', quantType, '--bnb_4bit_quant_storage', storage];
        if (double) flags.push('--bnb_4bit_use_double_quant');
        yield { name: `${quantType}-${double ? 'nested' : 'plain'}-${storage}`, flags };
      }
  yield { name: 'nf4-blocks-of-128', flags: ['--bnb_4bit_blocksize', '128'] };
  yield { name: 'nf4-shards', flags: ['--max_shard_size', '150KB'] };
  yield { name: 'nf4-skips', flags: ['--llm_int8_skip_modules', 'lm_head,down_proj,k_proj'] };
}

/** @typedef {{ complaints: string[], weights: number, expected_weights: number, differing_bytes: number, logits: number }} Loaded what transformers says of a checkpoint */

/** What a weight is decoded to: the ending of its name, the dtype, and safetensors' word for it. */
const DECODED = /** @type {const} */ ([
  ['f32', 'float32', 'F32'],
  ['bf16', 'bfloat16', 'BF16'],
]);

/** Weights of a checkpoint as we decode them, in f32 and bf16, for the Python side. @param {string} folder @param {string} name */
async function writeDecoded(folder, name) {
  const source = await openCheckpoint(nodeReader(path.join(folder, name)));
  /** @type {import('#dist/formats/safetensors-write.js').TensorToWrite[]} */
  const tensors = [];
  for (const weight of source.names().filter((name) => isBnb4bit(source, name))) {
    const stored = await readBnb4bit(source, weight);
    if (stored === null) throw new Error(`${name}: ${weight} is not quantized`);
    const state = await prequantizedState(source, weight, stored);
    const packed = new Uint8Array(stored.packed.bytes);
    await source.read(weight, 0, packed);
    const [out, width] = stored.shape;
    const spec = { quantType: stored.quantType, blockSize: stored.blockSize };
    for (const [suffix, dtype, file] of DECODED) {
      const data = dequantize4bit(codec, { packed, state }, out * width, spec, dtype);
      tensors.push({ name: weight.replace(/weight$/, suffix), dtype: file, shape: [out, width], data: () => [data] });
    }
  }
  await writeSafetensors(nodeWriter(folder), `${name}.safetensors`, tensors);
}

/** @param {string} folder @param {string} ours @param {string} theirs @param {string} file @returns bytes that differ */
function sameFile(folder, ours, theirs, file) {
  const [a, b] = [ours, theirs].map((name) => readFileSync(path.join(folder, name, file)));
  if (a.length !== b.length) return Math.abs(a.length - b.length);
  return a.reduce((count, byte, i) => count + (byte === b[i] ? 0 : 1), 0);
}

await withScratch(given, async (folder) => {
  const versions = JSON.parse(python(given, 'checkpoints.py', 'make', folder));
  let count = 0;
  for (const model of MODELS)
    for (const { name, flags } of cases()) {
      const out = `${model}+${name}`;
      execFileSync(process.execPath, [NIBBLE, 'quantize', path.join(folder, model), path.join(folder, out), ...flags], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      await writeDecoded(folder, out);
      count++;
    }
  /** @type {[string, Loaded][]} */
  const loaded = Object.entries(JSON.parse(python(given, 'checkpoints.py', 'load', folder)));
  if (loaded.length !== count) throw new Error(`${loaded.length} of ${count} checkpoints were loaded`);
  const sum = (/** @type {(result: Loaded) => number} */ of) =>
    loaded.reduce((total, [, result]) => total + of(result), 0);
  for (const [name, { complaints }] of loaded) for (const text of complaints) console.log(`${name}: ${text}`);
  const all = `${count} checkpoints of nibble quantize (${MODELS.join(', ')}; nf4 and fp4, plain and nested, stored as uint8 and bfloat16, blocks of 128, shards, skipped modules)`;
  const figures = [
    {
      what: `${all} in transformers with bitsandbytes on a CPU: warnings and log lines while they load`,
      reached: sum((r) => r.complaints.length),
      bound: 0,
      unit: 'complaints',
    },
    {
      what: 'quantized layers that transformers found in them less those that were written',
      reached: sum((r) => Math.abs(r.weights - r.expected_weights)),
      bound: 0,
      unit: 'layers',
    },
    {
      what: `weights of their ${sum((r) => r.weights)} layers as bitsandbytes decodes them, to f32 and to bf16, against ours`,
      reached: sum((r) => r.differing_bytes),
      bound: 0,
      unit: 'differing bytes',
    },
    {
      what: 'their logits in transformers against those of the same model with plain layers of our decoded weights, f32',
      reached: loaded.reduce((most, [, r]) => Math.max(most, r.logits), Number.NEGATIVE_INFINITY),
      bound: F32_NOISE,
      unit: 'of max |logit|',
    },
    {
      what: 'model.safetensors, nf4 with plain scales, against the file that transformers writes of the same model (3 models)',
      reached: MODELS.reduce(
        (n, m) => n + sameFile(folder, `${m}+nf4-plain-uint8`, `${m}-transformers`, 'model.safetensors'),
        0,
      ),
      bound: 0,
      unit: 'differing bytes',
    },
    {
      what: 'config.json of these',
      reached: MODELS.reduce(
        (n, m) => n + sameFile(folder, `${m}+nf4-plain-uint8`, `${m}-transformers`, 'config.json'),
        0,
      ),
      bound: 0,
      unit: 'differing bytes',
    },
  ];
  record(given, 'checkpoints', {
    row: 4,
    title: '4-bit checkpoints written here, loaded by transformers and bitsandbytes',
    versions,
    figures,
  });
});
