#!/usr/bin/env node
/** For each option of PEFT's LoraConfig, an adapter trained by PEFT loaded here, and one trained here loaded by PEFT: their logits. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadTrainConfig } from '#dist/config/index.js';
import { nodeReader, nodeWriter } from '#dist/node/files.js';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { withAdapterSettings } from '#dist/train/adapter-settings.js';
import { countParameters } from '#dist/train/model-layout.js';
import { readRunInput } from '#dist/train/session.js';
import { chosenDevice, nameOf } from '../shared/device.mjs';
import { loadedEngine, trainToEnd, writeRows } from '../shared/training.mjs';
import { logitsOf } from './logits.mjs';
import { options, python, record, relativeError, withScratch } from './peer.mjs';

/** @typedef {import('../shared/training.mjs').Runtime} Runtime */

/** Correct f32 code, sums in another order. */
const LOGITS = { bound: 1e-5, unit: 'of max |logit|' };
const SHAPE = { B: 2, S: 16 };
/** @type {Readonly<Record<string, string>>} */
const RENAMED = { target_modules: 'lora_target_modules', modules_to_save: 'lora_modules_to_save' };

/**
 * @typedef {object} Case an option as adapters.py made it
 * @property {number} index
 * @property {string} base folder of its model
 * @property {Readonly<Record<string, unknown>>} settings
 * @property {number} trainable parameters by PEFT
 * @property {number} all of the model with the adapter
 */

/** @typedef {{ logits: number, warned: unknown[], missing: unknown[], unexpected: unknown[], differing: unknown[] }} Loaded what PEFT says of an adapter from here */

/** @param {string} folder @param {string} base @param {Readonly<Record<string, unknown>>} settings */
function configOf(folder, base, settings) {
  /** @type {Record<string, string>} */
  const flags = {
    model_name_or_path: path.join(folder, base),
    datasets: `[{path: ${path.join(folder, 'rows.jsonl')}}]`,
    lora_r: '4',
    lora_alpha: '8',
    learning_rate: '1e-2',
    max_steps: '5',
    per_device_train_batch_size: '2',
  };
  for (const [key, value] of Object.entries(settings))
    flags[RENAMED[key] ?? key] = typeof value === 'string' ? value : JSON.stringify(value);
  return loadTrainConfig({ flags });
}

/**
 * Logits of a base under an adapter on disk, and how many numbers it trains.
 * @param {Runtime} runtime
 * @param {string} folder
 * @param {string} base
 * @param {string} adapter
 * @param {readonly number[]} ids
 */
async function underAdapter(runtime, folder, base, adapter, ids) {
  const adapter_name_or_path = path.join(folder, adapter);
  const config = await withAdapterSettings(configOf(folder, base, { adapter_name_or_path }), nodeReader);
  const input = await readRunInput(config.values, runtime.readerOf);
  const engine = await loadedEngine(runtime, input);
  const logits = await logitsOf(engine, ids, SHAPE);
  engine.destroy();
  return { logits, counts: countParameters(input.layout) };
}

/** @param {Runtime} runtime @param {string} folder @param {Case} made */
async function trainHere(runtime, folder, { index, base, settings }) {
  const input = await readRunInput(configOf(folder, base, settings).values, runtime.readerOf);
  const writer = nodeWriter(path.join(folder, `nibble-${index}`));
  (await trainToEnd(runtime, input, { writer })).engine.destroy();
}

/** @param {string} file */
function floats(file) {
  const bytes = readFileSync(file);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

const given = options('adapters', 'Takes a minute. NIBBLE_DEVICE picks the device (lavapipe).');
await withScratch(given, async (folder) => {
  /** @type {{ rows: number[][], ids: number[][], cases: Record<string, Case>, versions: Record<string, string> }} */
  const made = JSON.parse(python(given, 'adapters.py', 'make', folder));
  writeRows(folder, made.rows);
  const ids = made.ids.flat();
  const runtime = await openNodeRuntime(chosenDevice('lavapipe'));
  const adapter = nameOf(runtime.device);
  /** @type {Record<string, { error: number, miscounted: number }>} */
  const theirs = {};
  for (const [option, one] of Object.entries(made.cases)) {
    const { index, base, trainable, all } = one;
    const { logits, counts } = await underAdapter(runtime, folder, base, `peft-${index}`, ids);
    const error = relativeError(logits, floats(path.join(folder, `peft-${index}.bin`)));
    theirs[option] = { error, miscounted: Math.abs(counts.trainable - trainable) + Math.abs(counts.all - all) };
    await trainHere(runtime, folder, one);
    const ours = await underAdapter(runtime, folder, base, `nibble-${index}`, ids);
    writeFileSync(path.join(folder, `nibble-${index}.bin`), ours.logits);
  }
  await runtime.close();
  /** @type {Record<string, Loaded>} */
  const loaded = JSON.parse(python(given, 'adapters.py', 'load', folder));
  const logits = Object.entries(loaded).flatMap(([option, { logits: back }]) => [
    { what: `${option}: trained by PEFT, loaded here`, reached: theirs[option].error, ...LOGITS },
    { what: `${option}: trained here, loaded by PEFT`, reached: back, ...LOGITS },
  ]);
  const names = Object.keys(loaded);
  /** @param {string} what @param {string} unit @param {(loaded: Loaded, theirs: { miscounted: number }) => number} of */
  const total = (what, unit, of) => {
    const reached = names.reduce((sum, option) => sum + of(loaded[option], theirs[option]), 0);
    return { what: `all ${names.length} options: ${what}`, reached, bound: 0, unit };
  };
  const figures = [
    ...logits,
    total('warnings of PEFT loading what was trained here', 'warnings', ({ warned }) => warned.length),
    total(
      'keys missing or unexpected for PEFT',
      'keys',
      ({ missing, unexpected }) => missing.length + unexpected.length,
    ),
    total('of another name, shape or dtype than PEFT saves', 'tensors', ({ differing }) => differing.length),
    total("print_trainable_parameters against PEFT's", 'parameters', (_, { miscounted }) => miscounted),
  ];
  const title = 'Adapters of each LoRA option of PEFT, both ways, float32';
  record(given, 'adapters', { row: 4, title, adapter, versions: made.versions, figures });
});
