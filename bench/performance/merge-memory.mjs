#!/usr/bin/env node
/**
 * Memory of merging a model as large as Llama-2-7B: the peak of the resident memory of `nibble merge`, as the kernel counts it. The
 * weights are random; what merging holds does not depend on them.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseModelConfig } from '#dist/formats/hf-config.js';
import { writeSafetensors } from '#dist/formats/safetensors-write.js';
import { parametersOf } from '#dist/model/modules.js';
import { nodeWriter } from '#dist/node/files.js';
import { LoadWatch } from '../shared/clock.mjs';
import { count, readOptions, words } from '../shared/options.mjs';
import { ROOT, writeRecord } from '../shared/record.mjs';
import { inWords, misses } from '../shared/records.mjs';

const WAYS = /** @type {const} */ (['16-bit', 'dequantize', '4-bit']);
const USAGE = `usage: npm run build && node bench/performance/merge-memory.mjs [options]     Linux only (/proc)
Exits with 1 when a merge holds more than 2 GB. Takes half an hour of a CPU, and 45 GB of disk.
  --ways LIST     of ${WAYS.join(', ')}: a 16-bit base, a 4-bit base into 16 bits, and back into 4  (all)
  --layers N      of the 32 that Llama-2-7B has  (32)
  --rank N        of the adapter, which is on every linear layer  (16)
  --scratch DIR   gets the models, which are removed at the end  (a folder below the system's for temporary files)
  --record FILE   gets the figures`;
const flags = readOptions(USAGE, {
  ways: { type: 'string', default: WAYS.join(',') },
  layers: { type: 'string', default: '32' },
  rank: { type: 'string', default: '16' },
  scratch: { type: 'string', default: os.tmpdir() },
  record: { type: 'string' },
});
const ways = words('ways', flags.ways, WAYS);
const rank = count('rank', flags.rank);
const MOST_BYTES = 2e9;
const SHARD_BYTES = 5e9;
const LLAMA_2_7B = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: count('layers', flags.layers),
  num_attention_heads: 32,
  num_key_value_heads: 32,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  vocab_size: 32000,
  torch_dtype: 'bfloat16',
};
const parameters = parametersOf(parseModelConfig(LLAMA_2_7B));

/** Random values in (-0.04, 0.04), which tensors repeat from different places on. @param {number} length */
function noise(length) {
  let state = 1;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * 0.08;
  });
}
const values = noise(2 ** 22);
/** The upper halves of f32 values are bf16. */
const BF16 = new Uint8Array(Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16).buffer);
const F32 = new Uint8Array(values.buffer);

/** @param {Uint8Array} tile @param {number} bytes @param {number} seed */
function* repeated(tile, bytes, seed) {
  let at = (seed * 4096) % tile.byteLength;
  for (let left = bytes; left > 0; ) {
    const part = tile.subarray(at, Math.min(tile.byteLength, at + left));
    yield part;
    left -= part.byteLength;
    at = 0;
  }
}

const elements = (/** @type {readonly number[]} */ shape) => shape.reduce((product, n) => product * n, 1);

/** @param {string} folder */
async function writeModel(folder) {
  /** @type {(typeof parameters)[]} */
  const shards = [];
  let room = 0;
  for (const parameter of parameters) {
    const bytes = 2 * elements(parameter.shape);
    if (bytes > room) {
      shards.push([]);
      room = SHARD_BYTES;
    }
    shards[shards.length - 1].push(parameter);
    room -= bytes;
  }
  /** @type {Record<string, string>} */
  const weightMap = {};
  for (const [i, shard] of shards.entries()) {
    const file = `model-${String(i + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`;
    await writeSafetensors(
      nodeWriter(folder),
      file,
      shard.map(({ name, shape }, seed) => ({
        name,
        shape,
        dtype: 'BF16',
        data: () => repeated(BF16, 2 * elements(shape), seed),
      })),
    );
    for (const { name } of shard) weightMap[name] = file;
  }
  const total = parameters.reduce((sum, { shape }) => sum + 2 * elements(shape), 0);
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  writeFileSync(path.join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(LLAMA_2_7B));
  return total;
}

/** @param {string} folder */
async function writeAdapter(folder) {
  const targets = parameters.filter(({ name, shape }) => shape.length === 2 && name.startsWith('model.layers.'));
  const tensors = targets.flatMap(({ name, shape: [out, width] }, seed) => {
    const key = `base_model.model.${name.slice(0, -'.weight'.length)}`;
    return [
      { name: `${key}.lora_A.weight`, shape: [rank, width] },
      { name: `${key}.lora_B.weight`, shape: [out, rank] },
    ].map(({ name, shape }) => {
      const data = () => repeated(F32, 4 * elements(shape), seed);
      return { name, shape, dtype: /** @type {const} */ ('F32'), data };
    });
  });
  await writeSafetensors(nodeWriter(folder), 'adapter_model.safetensors', tensors);
  const modules = [...new Set(targets.map(({ name }) => name.split('.').at(-2)))];
  const config = { peft_type: 'LORA', task_type: 'CAUSAL_LM', r: rank, lora_alpha: rank, target_modules: modules };
  writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(config));
  return tensors.reduce((sum, { shape }) => sum + 4 * elements(shape), 0);
}

/**
 * Runs a command to its end. @param {string[]} args
 * @returns {Promise<{ bytes: number, seconds: number }>} the most memory it held, and how long it took
 */
function nibble(args) {
  const child = spawn(process.execPath, [path.join(ROOT, 'dist/cli/main.js'), ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const began = performance.now();
  let bytes = 0;
  const timer = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      // a process at its end has no memory, and no such line
      bytes = Math.max(bytes, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024);
    } catch {
      // it has ended
    }
  }, 50);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(timer);
      if (code === 0) resolve({ bytes, seconds: (performance.now() - began) / 1000 });
      else reject(new Error(`nibble ${args.join(' ')} ended with ${code}`));
    });
  });
}

mkdirSync(flags.scratch, { recursive: true });
const root = mkdtempSync(path.join(flags.scratch, 'nibble-merge-'));
const at = (/** @type {string} */ name) => path.join(root, name);
const remove = (/** @type {string} */ name) => rmSync(at(name), { recursive: true, force: true });
const load = new LoadWatch();
/** @type {import('../shared/records.mjs').Figure[]} */
const figures = [];

/** @param {string} what @param {string[]} args */
async function measure(what, args) {
  const { bytes, seconds } = await nibble(args);
  const figure = { what, reached: bytes / 1e9, bound: MOST_BYTES / 1e9, unit: 'GB', note: `${seconds.toFixed(0)} s` };
  console.log(`${misses(figure) ? '! ' : '  '}${inWords(figure)}, ${figure.note}`);
  figures.push(figure);
}

try {
  const [modelBytes, adapterBytes] = [await writeModel(at('model')), await writeAdapter(at('adapter'))];
  console.log(`model ${(modelBytes / 1e9).toFixed(2)} GB in bfloat16, adapter ${(adapterBytes / 1e6).toFixed(0)} MB`);
  if (ways.includes('16-bit')) {
    await measure('into the 16-bit base', ['merge', at('model'), at('adapter'), at('merged')]);
    remove('merged');
  }
  if (ways.some((way) => way !== '16-bit')) {
    const nested = ['--bnb_4bit_use_double_quant', 'true'];
    await measure('nibble quantize, which makes the 4-bit base', ['quantize', at('model'), at('4bit'), ...nested]);
    remove('model');
  }
  if (ways.includes('dequantize')) {
    await measure('a 4-bit base, out of 4 bits', ['merge', at('4bit'), at('adapter'), at('merged'), '--dequantize']);
    remove('merged');
  }
  if (ways.includes('4-bit'))
    await measure('a 4-bit base, back into 4 bits', ['merge', at('4bit'), at('adapter'), at('merged')]);
  const shapes = `${(modelBytes / 1e9).toFixed(1)} GB in bfloat16, rank ${rank} on all linear layers (${(adapterBytes / 1e6).toFixed(0)} MB)`;
  if (flags.record !== undefined)
    writeRecord(flags.record, {
      row: 12,
      title: `Peak of resident memory (VmHWM): Llama-2-7B's shapes, ${shapes}`,
      command: 'npm run build && node bench/performance/merge-memory.mjs --record FILE',
      load,
      figures,
    });
} finally {
  rmSync(root, { recursive: true, force: true });
}
process.exitCode = figures.some(misses) ? 1 : 0;
