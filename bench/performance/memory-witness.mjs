#!/usr/bin/env node
/**
 * Holds the ledger against an outside witness: the growth of this process's resident memory on a software driver, where GPU
 * buffers are ordinary memory. A small run first compiles every kernel, so that the driver's compiler is not counted.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { loadTrainConfig } from '#dist/config/index.js';
import { parseModelConfig } from '#dist/formats/hf-config.js';
import { writeSafetensors } from '#dist/formats/safetensors-write.js';
import { parametersOf } from '#dist/model/modules.js';
import { nodeWriter } from '#dist/node/files.js';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { readRunInput } from '#dist/train/session.js';
import { chosenDevice } from '../shared/device.mjs';
import { readArguments } from '../shared/options.mjs';
import { watchGrowth } from '../shared/resident.mjs';
import { trainToEnd, writeRows } from '../shared/training.mjs';

const USAGE = `usage: node bench/performance/memory-witness.mjs [METHOD]   NIBBLE_DEVICE picks the device. Linux only (/proc)
Exits with 1 when the two differ by more than 10 %.
  METHOD  lora or qlora  (lora)`;
const [method = 'lora'] = readArguments(USAGE, {}).positionals;
const TOLERANCE = 0.1;
const TOKENS = 16;
const MIB = 2 ** 20;
// Weights of 1.4 GiB in f32, 1.1 GiB with a 4-bit base: far above what a process needs beside its buffers.
const LARGE = {
  vocab_size: 128_000,
  hidden_size: 1024,
  intermediate_size: 2816,
  num_hidden_layers: 8,
  num_attention_heads: 16,
};
const SMALL = {
  vocab_size: 1024,
  hidden_size: 128,
  intermediate_size: 320,
  num_hidden_layers: 1,
  num_attention_heads: 2,
};

const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-witness-'));

/** Norms are ones; every other row is the same, and small. @param {readonly number[]} shape */
function* rowsOf(shape) {
  const isNorm = shape.length === 1;
  const row = Float32Array.from({ length: shape[shape.length - 1] }, (_, i) => (isNorm ? 1 : 0.02 * Math.sin(i)));
  for (let r = 0; r < (isNorm ? 1 : shape[0]); r++) yield new Uint8Array(row.buffer);
}

/** @param {string} name @param {typeof LARGE} shape */
async function writeModel(name, shape) {
  const config = {
    ...shape,
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    max_position_embeddings: 64,
    dtype: 'float32',
    num_key_value_heads: shape.num_attention_heads,
    head_dim: 64,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  };
  const tensors = parametersOf(parseModelConfig(config)).map((parameter) => ({
    name: parameter.name,
    shape: parameter.shape,
    dtype: /** @type {const} */ ('F32'),
    data: () => rowsOf(parameter.shape),
  }));
  const target = path.join(directory, name);
  await writeSafetensors(nodeWriter(target), 'model.safetensors', tensors);
  writeFileSync(path.join(target, 'config.json'), JSON.stringify(config));
  return target;
}

/** @param {import('../shared/training.mjs').Runtime} runtime @param {string} model @param {string} rows */
async function runOnce(runtime, model, rows) {
  const flags = {
    model_name_or_path: model,
    datasets: JSON.stringify([{ path: rows }]),
    method,
    max_steps: '1',
    lora_target_modules: 'all-linear',
    per_device_train_batch_size: '1',
    bnb_4bit_use_double_quant: 'true',
  };
  return trainToEnd(runtime, await readRunInput(loadTrainConfig({ flags }).values, runtime.readerOf));
}

try {
  const rows = writeRows(directory, [Array.from({ length: TOKENS }, (_, i) => i)]);
  const [small, large] = [await writeModel('small', SMALL), await writeModel('large', LARGE)];
  const runtime = await openNodeRuntime(chosenDevice());
  (await runOnce(runtime, small, rows)).engine.destroy();
  await runtime.device.gpu.queue.onSubmittedWorkDone();
  const growth = watchGrowth();
  const { ledger, engine } = await runOnce(runtime, large, rows);
  const grown = growth();
  const bytes = ledger.peak.peakBytes;
  const ratio = grown / bytes;
  const figures = `ledger ${(bytes / MIB).toFixed(1)} MiB, process grew by ${(grown / MIB).toFixed(1)} MiB, ratio ${ratio.toFixed(3)}`;
  console.log(`${runtime.device.profile.name}, ${method}: ${figures}`);
  if (!(Math.abs(ratio - 1) <= TOLERANCE)) process.exitCode = 1;
  engine.destroy();
  await runtime.close();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
