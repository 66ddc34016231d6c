#!/usr/bin/env node
/**
 * Steps of a 12-layer model at 2,048 tokens under every plan that `gradient_checkpointing: auto` chooses from, in turns, and what it
 * takes of them under three budgets: the fastest that fits?
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { median } from 'simple-statistics';
import { loadTrainConfig } from '#dist/config/index.js';
import { estimateRun } from '#dist/estimate/estimate.js';
import { settlePlan } from '#dist/estimate/settle.js';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { readRunInput } from '#dist/train/session.js';
import { cpuSeconds, LoadWatch, timed } from '../shared/clock.mjs';
import { chosenDevice, nameOf } from '../shared/device.mjs';
import { count, readOptions } from '../shared/options.mjs';
import { writeRecord } from '../shared/record.mjs';
import { loadedEngine, writeRandomModel, writeRows } from '../shared/training.mjs';
import { modelJson } from './curve-models.mjs';

const USAGE = `usage: node bench/performance/auto.mjs [options]   NIBBLE_DEVICE picks the device
  --tokens N     of the one row of a step  (2048)
  --rounds N     steps of every plan, in turns  (5)
  --record FILE  writes what was measured`;
const flags = readOptions(USAGE, {
  tokens: { type: 'string', default: '2048' },
  rounds: { type: 'string', default: '5' },
  record: { type: 'string' },
});
const [S, rounds] = [count('tokens', flags.tokens), count('rounds', flags.rounds)];

const LAYERS = 12;
/** Narrow, so that a software driver ends in minutes; of a rank that makes the optimizer's state worth paging. */
const SHAPE = {
  vocab_size: 256,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: LAYERS,
  num_attention_heads: 2,
  tie_word_embeddings: true,
};
const RANK = 32;

/** Plans this much apart count as equally fast: what a shared machine makes of two runs of one plan. */
const MOST_SLOWER = 1.05;

/** @typedef {'false' | 'selective' | 'true' | 'auto'} Checkpointing */

const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-auto-'));
const model = path.join(directory, 'model');
writeRandomModel(model, modelJson(SHAPE, S, 'float32'));
const ids = Array.from({ length: S }, (_, i) => (i * 7) % SHAPE.vocab_size);
const rows = writeRows(model, [ids]);

/** @param {Checkpointing} checkpointing @param {number | null} [budget] bytes of the optimizer's state on the GPU */
function configOf(checkpointing, budget = null) {
  const { values } = loadTrainConfig({
    flags: {
      model_name_or_path: model,
      datasets: JSON.stringify([{ path: rows }]),
      gradient_checkpointing: checkpointing,
      optim: 'paged_adamw_32bit',
      ...(budget === null ? {} : { paged_optimizer_memory: String(budget) }),
      lora_r: String(RANK),
      lora_target_modules: 'all-linear',
      max_length: String(S),
      max_steps: '1',
      per_device_train_batch_size: '1',
    },
  });
  return values;
}

const runtime = await openNodeRuntime(chosenDevice());
const { profile, shaders } = runtime.device;
const load = new LoadWatch();

/** @param {import('#dist/config/settings.js').TrainConfig} config */
async function planned(config) {
  const input = await readRunInput(config, runtime.readerOf);
  const job = { config, layout: input.layout, shapes: input.batches.shapes, profile, shaders };
  return { input, job };
}

/** @param {import('#dist/config/settings.js').TrainConfig} config */
async function peakOf(config) {
  const { job } = await planned(config);
  return estimateRun(job.layout, config, job.shapes, profile, shaders);
}

/** What each budget leaves of a plan: its settings with paging, or null where it does not fit. @param {Checkpointing} checkpointing @param {number} bytes */
async function within(checkpointing, bytes) {
  const { job } = await planned(configOf(checkpointing));
  const { config } = settlePlan(job, bytes);
  const { peakBytes, state } = estimateRun(job.layout, config, job.shapes, profile, shaders);
  return peakBytes > bytes ? null : { config, hostBytes: state.hostBytes };
}

const CHOICES = /** @type {const} */ (['false', 'selective', 'true']);
/** @type {Record<string, import('#dist/estimate/types.js').Estimate>} */
const whole = {};
for (const choice of CHOICES) whole[choice] = await peakOf(configOf(choice));
const [off, selective, full] = CHOICES.map((choice) => whole[choice].peakBytes);
const halfState = Math.floor(whole.false.byCategory.optimizer / 2);
const BUDGETS = [
  ['all but half of the state', off - halfState],
  ['what selective needs', selective],
  ['half of the state less than full needs', full - halfState],
];

/** @type {Map<string, { engine: Awaited<ReturnType<typeof loadedEngine>>, ms: number[] }>} */
const arms = new Map();
/** @param {import('#dist/config/settings.js').TrainConfig} config */
const keyOf = ({ gradient_checkpointing: chosen, paged_optimizer_memory: budget }) =>
  `${chosen}${budget === null ? '' : `, ${budget} bytes of state`}`;
/** @param {import('#dist/config/settings.js').TrainConfig} config */
async function armOf(config) {
  const key = keyOf(config);
  if (!arms.has(key)) arms.set(key, { engine: await loadedEngine(runtime, (await planned(config)).input), ms: [] });
  return key;
}

const cases = [];
for (const [what, bytes] of /** @type {[string, number][]} */ (BUDGETS)) {
  const { job } = await planned(configOf('auto'));
  const { config: taken, note } = settlePlan(job, bytes);
  const fitting = [];
  for (const choice of CHOICES) {
    const plan = await within(choice, bytes);
    if (plan !== null) fitting.push(await armOf(plan.config));
  }
  cases.push({ what, bytes, note, taken: await armOf(taken), fitting });
}
const reference = await armOf(configOf('false'));

const batch = { B: 1, S, inputIds: Uint32Array.from(ids), labels: Int32Array.from([...ids.slice(1), -100]) };
const scalars = { lr: 0, bias1: 1, sqrt_bias2: 1, inv_tokens: 1 / S, loss_scale: 1, step: 0, seed: 0 };
// the driver compiles at a first step
for (const { engine } of arms.values()) await engine.trainStep([batch], scalars);
for (let round = 0; round < rounds; round++)
  for (const { engine, ms } of arms.values())
    ms.push(1000 * (await timed(() => engine.trainStep([batch], scalars), cpuSeconds)));

const base = arms.get(reference)?.ms ?? [];
/** Against the plan that computes nothing twice, in pairs of one round. @param {string} key */
const ratioOf = (key) => median((arms.get(key)?.ms ?? []).map((ms, i) => ms / base[i]));
const results = cases.map((one) => {
  const ratios = Object.fromEntries(one.fitting.map((key) => [key, ratioOf(key)]));
  const fastest = one.fitting.reduce((a, b) => (ratioOf(b) < ratioOf(a) ? b : a));
  return { ...one, ratios, fastest, slower: ratioOf(one.taken) / ratioOf(fastest) };
});
for (const { what, bytes, note, ratios, slower } of results) {
  console.log(`${what} (${bytes} bytes): ${note}`);
  for (const [key, ratio] of Object.entries(ratios)) console.log(`  ${key}: ${ratio.toFixed(3)} of a step without`);
  console.log(`  what it takes, over the fastest that fits: ${slower.toFixed(3)}`);
}
console.log(`a step that computes nothing twice: ${median(base).toFixed(0)} ms`);

if (flags.record) {
  writeRecord(flags.record, {
    row: 14,
    title: `gradient_checkpointing: auto, ${LAYERS} layers at ${S} tokens`,
    command: `npm run build && NIBBLE_DEVICE=lavapipe node bench/performance/auto.mjs --rounds=${rounds} --record FILE`,
    adapter: nameOf(runtime.device),
    load,
    versions: { model: `${LAYERS} layers of ${SHAPE.hidden_size}, rank ${RANK}, paged_adamw_32bit`, rounds },
    figures: results.flatMap(({ what, bytes, taken, ratios, slower }) => [
      {
        what: `${what} (${(bytes / 2 ** 20).toFixed(1)} MiB): takes ${taken}, over the fastest that fits`,
        reached: slower,
        bound: MOST_SLOWER,
        unit: 'times',
      },
      ...Object.entries(ratios).map(([key, reached]) => ({
        what: `${what}: a step with ${key}, over one that computes nothing twice`,
        reached,
        bound: null,
        unit: 'times',
      })),
    ]),
  });
}
for (const { engine } of arms.values()) engine.destroy();
await runtime.close();
rmSync(directory, { recursive: true, force: true });
