#!/usr/bin/env node
/**
 * Runs one training step of a point of the memory curves and prints what the ledger saw, what the plan said and how far the
 * process grew, as JSON. The same step at a few tokens goes first, so that the driver's compiler is not counted.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { estimateRun } from '#dist/estimate/estimate.js';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { readRunInput } from '#dist/train/session.js';
import { chosenDevice, nameOf } from '../shared/device.mjs';
import { readArguments, refuse } from '../shared/options.mjs';
import { watchGrowth } from '../shared/resident.mjs';
import { trainToEnd, writeRandomModel, writeRows } from '../shared/training.mjs';
import { modelJson, settings } from './curve-models.mjs';

/** @typedef {import('./curve-models.mjs').Shape} Shape */

/**
 * @typedef {object} RunPoint
 * @property {string} adapter
 * @property {number} peakBytes by the ledger
 * @property {number} planBytes
 * @property {number} lossBytes logits, by the ledger
 * @property {number} planLossBytes
 * @property {number} grownBytes of the process
 */

const USAGE = `usage: node bench/performance/memory-point.mjs POINT   NIBBLE_DEVICE picks the device. Linux only (/proc)
  POINT  JSON: {"shape": {...}, "method": "lora", "checkpointing": "false", "S": 512}`;
const WARM_UP_TOKENS = 16;
const [given] = readArguments(USAGE, {}).positionals;
/** @type {{ shape: Shape & { vocab_size: number }, method: string, checkpointing: string, S: number }} */
const point = JSON.parse(given ?? refuse(`wanted a point\n${USAGE}`));
const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-curve-'));

/** @param {import('../shared/training.mjs').Runtime} runtime @param {Shape & { vocab_size: number }} shape @param {number} S */
async function step(runtime, shape, S) {
  const model = path.join(directory, `${S}`);
  writeRandomModel(model, modelJson(shape, S, 'float32'));
  const rows = writeRows(model, [Array.from({ length: S }, (_, i) => (i * 7) % shape.vocab_size)]);
  const config = settings({ ...point, S, dtype: 'float32', rows, model });
  const input = await readRunInput(config, runtime.readerOf);
  const { profile, shaders } = runtime.device;
  const plan = estimateRun(input.layout, config, input.batches.shapes, profile, shaders);
  return { ...(await trainToEnd(runtime, input)), plan };
}

try {
  const runtime = await openNodeRuntime(chosenDevice());
  (await step(runtime, { ...point.shape, vocab_size: 256 }, WARM_UP_TOKENS)).engine.destroy();
  await runtime.device.gpu.queue.onSubmittedWorkDone();
  const growth = watchGrowth();
  const { ledger, engine, plan } = await step(runtime, point.shape, point.S);
  const grownBytes = growth();
  const { peakBytes, byCategory } = ledger.peak;
  /** @type {RunPoint} */
  const result = {
    adapter: nameOf(runtime.device),
    peakBytes,
    planBytes: plan.peakBytes,
    lossBytes: byCategory.logits,
    planLossBytes: plan.byCategory.logits,
    grownBytes,
  };
  console.log(JSON.stringify(result));
  engine.destroy();
  await runtime.close();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
