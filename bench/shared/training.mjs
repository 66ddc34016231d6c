/** Runs of the library from scripts: a model with random weights, and a training to its end. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { train } from '#dist/train/run.js';
import { allocate, fill, initialize } from '#dist/train/session.js';

/** @typedef {import('#dist/train/session.js').Runtime} Runtime */
/** @typedef {import('#dist/train/session.js').RunInput} RunInput */

/**
 * A model of that config.json whose weights are drawn as it is loaded.
 * @param {string} folder is made
 * @param {object} config
 */
export function writeRandomModel(folder, config) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  writeFileSync(path.join(folder, 'random_weights.json'), `${JSON.stringify({ seed: 0, std: 0.02 })}\n`);
}

/**
 * @param {string} folder
 * @param {readonly (readonly number[])[]} rows tokens of each
 * @returns {string} a dataset of them
 */
export function writeRows(folder, rows) {
  const file = path.join(folder, 'rows.jsonl');
  writeFileSync(file, rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
  return file;
}

/**
 * @param {Runtime} runtime
 * @param {RunInput} input
 * @param {{ writer?: import('#dist/formats/reader.js').FileWriter | null, onEvent?: (event: import('#dist/train/events.js').TrainEvent) => void }} [options]
 * @returns what the run ended with; its engine is alive
 */
export async function trainToEnd(runtime, input, { writer = null, onEvent = () => {} } = {}) {
  const running = train(runtime, input, { signal: new AbortController().signal, writer });
  let next = await running.next();
  for (; !next.done; next = await running.next()) onEvent(next.value);
  return next.value;
}

/**
 * @param {Runtime} runtime
 * @param {RunInput} input
 * @returns its base and adapter on the device, its plans compiled, no step taken
 */
export async function loadedEngine(runtime, input) {
  const engine = await allocate(runtime, input);
  for await (const _ of fill(runtime, input, engine, new AbortController().signal)) {
    // nobody watches
  }
  await engine.compile();
  await initialize(input, engine);
  return engine;
}
