#!/usr/bin/env node
/** Steps whose optimizer pages against steps whose state stays on the GPU, in turns: their time, what is moved, and that they are equal. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { median } from 'simple-statistics';
import { loadTrainConfig } from '#dist/config/index.js';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { readRunInput } from '#dist/train/session.js';
import { LoadWatch, timed, wallSeconds } from '../shared/clock.mjs';
import { chosenDevice, nameOf } from '../shared/device.mjs';
import { count, readOptions } from '../shared/options.mjs';
import { writeRecord } from '../shared/record.mjs';
import { loadedEngine, writeRandomModel, writeRows } from '../shared/training.mjs';
import { modelJson, SMALL } from './curve-models.mjs';

const USAGE = `usage: node bench/performance/paging.mjs [options]   NIBBLE_DEVICE picks the device
  --rounds N     pairs of steps  (7)
  --record FILE  writes what was measured`;
const flags = readOptions(USAGE, { rounds: { type: 'string', default: '7' }, record: { type: 'string' } });
const rounds = count('rounds', flags.rounds);

/** Tokens of a micro-batch's row; two micro-batches a step. */
const S = 128;
const ACCUMULATED = 2;
const RANK = 64;
/** A paged optimizer may keep one part in so many of its state. */
const TIMES_THE_BUDGET = 3;

const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-paging-'));
const model = path.join(directory, 'model');
writeRandomModel(model, modelJson(SMALL, S, 'float32'));
const ids = Array.from({ length: S }, (_, i) => (i * 7) % SMALL.vocab_size);
const rows = writeRows(model, [ids, ids]);
const runtime = await openNodeRuntime(chosenDevice());
const load = new LoadWatch();

/** @param {string} optim @param {number | null} budget */
async function engineOf(optim, budget) {
  const { values } = loadTrainConfig({
    flags: {
      model_name_or_path: model,
      datasets: JSON.stringify([{ path: rows }]),
      optim,
      ...(budget === null ? {} : { paged_optimizer_memory: String(budget) }),
      use_dora: 'true',
      lora_r: String(RANK),
      lora_target_modules: 'all-linear',
      max_length: String(S),
      max_steps: '1',
      per_device_train_batch_size: '1',
      gradient_accumulation_steps: String(ACCUMULATED),
    },
  });
  return loadedEngine(runtime, await readRunInput(values, runtime.readerOf));
}

const batch = { B: 1, S, inputIds: Uint32Array.from(ids), labels: Int32Array.from([...ids.slice(1), -100]) };
const batches = Array.from({ length: ACCUMULATED }, () => batch);
const tokens = ACCUMULATED * (S - 1);
/** @param {Awaited<ReturnType<typeof loadedEngine>>} engine @param {number} step */
const train = (engine, step) =>
  engine.trainStep(batches, {
    lr: 1e-3,
    bias1: 1 - 0.9 ** (step + 1),
    sqrt_bias2: Math.sqrt(1 - 0.999 ** (step + 1)),
    inv_tokens: 1 / tokens,
    loss_scale: 1,
    step,
    seed: 0,
  });

/** @param {string} plain @param {string} paged */
async function pair(plain, paged) {
  const whole = await engineOf(plain, null);
  const state = whole.machine.ledger.current.optimizer;
  const cut = await engineOf(paged, Math.floor(state / TIMES_THE_BUDGET));
  const arms = [whole, cut].map((engine) => ({ engine, ms: /** @type {number[]} */ ([]) }));
  for (const { engine } of arms) await train(engine, 0);
  const before = cut.state.pager?.traffic.toGpuBytes ?? 0;
  for (let round = 1; round <= rounds; round++)
    for (const { engine, ms } of arms) ms.push(1000 * (await timed(() => train(engine, round), wallSeconds)));
  const [own, other] = arms.map(({ ms }) => ms);
  const moved = ((cut.state.pager?.traffic.toGpuBytes ?? 0) - before) / rounds;
  let unequal = 0;
  for (const [name, { param }] of whole.declared.trainable.tensors) {
    const [a, b] = [
      await whole.readTensor(param),
      await cut.readTensor(cut.declared.trainable.tensors.get(name)?.param ?? param),
    ];
    if (Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer)) !== 0) unequal++;
  }
  const held = cut.machine.ledger.current.optimizer;
  for (const { engine } of arms) engine.destroy();
  const ratio = median(other.map((ms, i) => ms / own[i]));
  return { paged, state, held, moved, unequal, ratio, plainMs: median(own) };
}

const results = [await pair('adamw_torch', 'paged_adamw_32bit'), await pair('adamw_8bit', 'paged_adamw_8bit')];
const mib = (/** @type {number} */ bytes) => (bytes / 2 ** 20).toFixed(2);
for (const { paged, state, held, moved, unequal, ratio, plainMs } of results)
  console.log(
    `${paged}: ${mib(state)} MiB of state, ${mib(held)} on the GPU, ${mib(moved)} MiB a step each way, ` +
      `${ratio.toFixed(3)} of a step of ${plainMs.toFixed(0)} ms, ${unequal} tensors unequal`,
  );
if (flags.record) {
  writeRecord(flags.record, {
    row: 14,
    title: 'Paged optimizers against the same state on the GPU: DoRA, two micro-batches a step',
    command: `npm run build && NIBBLE_DEVICE=lavapipe node bench/performance/paging.mjs --rounds=${rounds} --record FILE`,
    adapter: nameOf(runtime.device),
    load,
    versions: { model: `${SMALL.num_hidden_layers} layers of ${SMALL.hidden_size}, rank ${RANK}`, rounds },
    figures: results.flatMap(({ paged, state, held, moved, unequal, ratio }) => [
      { what: `${paged}: a step over one that does not page`, reached: ratio, bound: null, unit: 'times' },
      { what: `${paged}: tensors that differ after ${rounds + 1} steps`, reached: unequal, bound: 0, unit: 'tensors' },
      { what: `${paged}: state on the GPU, of all`, reached: held / state, bound: 1 / TIMES_THE_BUDGET, unit: 'share' },
      { what: `${paged}: moved a step, each way, of all state`, reached: moved / state, bound: null, unit: 'share' },
    ]),
  });
}
await runtime.close();
rmSync(directory, { recursive: true, force: true });
