#!/usr/bin/env node
/** Loads and compiles one run up to its warm-up, as a run does, and prints what that took as JSON. */
import path from 'node:path';
import { loadTrainConfig } from '#dist/config/index.js';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { train } from '#dist/train/run.js';
import { readRunInput } from '#dist/train/session.js';
import { cpuSeconds, wallSeconds } from '../shared/clock.mjs';
import { chosenDevice } from '../shared/device.mjs';
import { readArguments, refuse } from '../shared/options.mjs';

const USAGE = `usage: node bench/performance/load-point.mjs MODEL METHOD   NIBBLE_DEVICE picks the device (lavapipe)
  MODEL   a folder with rows.jsonl beside the model's files
  METHOD  lora or qlora`;
const [model, method] = readArguments(USAGE, {}).positionals;
if (model === undefined || method === undefined) refuse(`wanted a model and a method\n${USAGE}`);

/**
 * @typedef {object} LoadPoint
 * @property {number} load seconds from nothing on the GPU to loaded weights
 * @property {number} ready seconds to compiled pipelines
 * @property {number} cpu seconds of CPU time of the process until then
 * @property {number} resident bytes that the process grew by: on a software driver the weights are its own memory
 */

const { values: config } = loadTrainConfig({
  flags: {
    model_name_or_path: model,
    method,
    datasets: JSON.stringify([{ path: path.join(model, 'rows.jsonl') }]),
    lora_target_modules: 'all-linear',
    per_device_train_batch_size: '1',
    max_steps: '1',
  },
});
const runtime = await openNodeRuntime(chosenDevice('lavapipe'));
const input = await readRunInput(config, runtime.readerOf);
const idle = process.memoryUsage.rss();
const [started, cpuStarted] = [wallSeconds(), cpuSeconds()];
/** @type {Map<string, number>} */
const at = new Map();
for await (const event of train(runtime, input, { signal: new AbortController().signal, writer: null })) {
  if (event.type !== 'phase') continue;
  at.set(event.phase, wallSeconds() - started);
  if (event.phase === 'warmup') break;
}
/** @type {LoadPoint} */
const point = {
  load: at.get('compile') ?? Number.NaN,
  ready: at.get('warmup') ?? Number.NaN,
  cpu: cpuSeconds() - cpuStarted,
  resident: 1024 * process.resourceUsage().maxRSS - idle,
};
console.log(JSON.stringify(point));
process.exit(); // its engine is alive
