#!/usr/bin/env node
/**
 * CPU time of a replayed training step against a bare loop of the same calls, and whether steps leave anything behind. Dawn's null
 * backend runs no kernel, so that all time is the host's.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { median } from 'simple-statistics';
import { create, globals } from 'webgpu';
import { loadTrainConfig } from '#dist/config/index.js';
import { Device } from '#dist/gpu/device.js';
import { KNOWN_PROFILES } from '#dist/gpu/device-profile.js';
import { loadShaders } from '#dist/node/device.js';
import { nodeReader } from '#dist/node/files.js';
import { allocate, readRunInput } from '#dist/train/session.js';
import { cpuSeconds, LoadWatch, timed } from '../shared/clock.mjs';
import { count, readOptions } from '../shared/options.mjs';
import { writeRecord } from '../shared/record.mjs';
import { collectGarbage } from '../shared/resident.mjs';
import { writeRandomModel, writeRows } from '../shared/training.mjs';

/** What the project promises: CPU time of a step over that of the bare loop. */
const MOST_RATIO = 1.5;
const SAMPLES = 15;
const S = 32;

const USAGE = `usage: node bench/performance/replay.mjs [options]
  --layers N     of the model  (16)
  --steps N      over which the heap and the ledger are watched  (1000)
  --record FILE  writes what was measured
  --json`;
const flags = readOptions(USAGE, {
  layers: { type: 'string', default: '16' },
  steps: { type: 'string', default: '1000' },
  record: { type: 'string' },
  json: { type: 'boolean', default: false },
});
const [layers, steps] = [count('layers', flags.layers), count('steps', flags.steps, SAMPLES)];

Object.assign(globalThis, globals);
// held until the end: Dawn aborts the process when it is collected while a device lives
/** @type {GPU | null} */
let instance = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
const adapter = await instance.requestAdapter();
if (adapter === null) throw new Error('Dawn has no null backend');
const gpu = await adapter.requestDevice({ requiredFeatures: ['shader-f16'] });
const profile = { ...KNOWN_PROFILES.swiftshader, name: 'null' };
const description = { vendor: '', architecture: '', device: '', description: 'null backend', isFallbackAdapter: false };
const device = new Device({
  gpu,
  profile,
  info: { ...description, features: [], limits: {}, toggles: [] },
  shaders: loadShaders(),
});

const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-replay-'));
const shape = {
  architectures: ['LlamaForCausalLM'],
  vocab_size: 64,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: layers,
  num_attention_heads: 4,
  max_position_embeddings: S,
  dtype: 'float32',
};
writeRandomModel(directory, shape);
const ids = Array.from({ length: S }, (_, i) => i);
const { values: config } = loadTrainConfig({
  flags: {
    model_name_or_path: directory,
    method: 'qlora',
    datasets: JSON.stringify([{ path: writeRows(directory, [ids]) }]),
    lora_target_modules: 'all-linear',
    per_device_train_batch_size: '1',
    max_steps: String(steps),
  },
});
const input = await readRunInput(config, nodeReader);
const engine = await allocate({ device }, input);
const { machine } = engine;
const { ledger } = machine;
await engine.compile();
const batch = { B: 1, S, inputIds: Uint32Array.from(ids), labels: Int32Array.from(ids) };
const scalars = { lr: 1e-4, bias1: 1, sqrt_bias2: 1, inv_tokens: 1 / S, loss_scale: 1, step: 0, seed: 0 };
const step = () => engine.trainStep([batch], scalars);

/** @typedef {readonly [pipeline: GPUComputePipeline, group: GPUBindGroup, x: number, y: number | undefined]} Call */

/**
 * The calls of a step, as a program that knows nothing else would make them.
 * @returns {Call[]}
 */
function callsOfStep() {
  /** @type {Call[]} */
  const made = [];
  /** @type {GPUComputePipeline} */
  let pipeline;
  /** @type {GPUBindGroup} */
  let group;
  const pass = {
    setPipeline: (/** @type {GPUComputePipeline} */ next) => {
      pipeline = next;
    },
    setBindGroup: (/** @type {number} */ _, /** @type {GPUBindGroup} */ next) => {
      group = next;
    },
    dispatchWorkgroups: (/** @type {number} */ x, /** @type {number} */ y) => made.push([pipeline, group, x, y]),
    end: () => undefined,
  };
  const encoder = { beginComputePass: () => pass, clearBuffer: () => undefined, copyBufferToBuffer: () => undefined };
  for (const { name } of machine.plans)
    machine.program(name).encode(/** @type {GPUCommandEncoder} */ (/** @type {unknown} */ (encoder)));
  return made;
}
const calls = callsOfStep();

async function bareLoop() {
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const [pipeline, group, x, y] of calls) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y);
  }
  pass.end();
  gpu.queue.submit([encoder.finish()]);
  await gpu.queue.onSubmittedWorkDone();
}

/** Heap that a step may leave: what V8 itself keeps is spread over the steps, and is no tensor, buffer or closure. */
const MOST_HEAP_BYTES = 256;

const [bare, replayed] = [/** @type {number[]} */ ([]), /** @type {number[]} */ ([])];
await step();
await bareLoop();
for (let i = 0; i < SAMPLES; i++) {
  // one after the other, so that what drifts meets both
  bare.push(1000 * (await timed(bareLoop, cpuSeconds)));
  replayed.push(1000 * (await timed(step, cpuSeconds)));
}

collectGarbage();
const before = { heap: process.memoryUsage().heapUsed, ledger: ledger.currentBytes, buffers: ledger.liveCount };
for (let i = 0; i < steps; i++) await step();
collectGarbage();
const [bare_ms, step_ms] = [median(bare), median(replayed)];
const result = {
  dispatches: calls.length,
  bare_ms,
  step_ms,
  ratio: step_ms / bare_ms,
  steps,
  heap_bytes_per_step: (process.memoryUsage().heapUsed - before.heap) / steps,
  ledger_bytes: ledger.currentBytes - before.ledger,
  buffers: ledger.liveCount - before.buffers,
};
if (flags.json) console.log(JSON.stringify(result));
else {
  console.log(`${result.dispatches} dispatches of a QLoRA step, ${layers} layers, null backend, CPU time`);
  console.log(`bare loop ${bare_ms.toFixed(2)} ms, step ${step_ms.toFixed(2)} ms`);
  console.log(`ratio ${result.ratio.toFixed(3)} (promised: at most ${MOST_RATIO})`);
  console.log(
    `over ${steps} steps: ledger ${result.ledger_bytes} bytes, ${result.buffers} buffers, ` +
      `heap ${result.heap_bytes_per_step.toFixed(1)} bytes a step`,
  );
}
if (flags.record) {
  const over = `over ${steps} steps`;
  writeRecord(flags.record, {
    row: 6,
    title: `A replayed QLoRA step of ${layers} layers`,
    command: `npm run build && node bench/performance/replay.mjs --layers=${layers} --steps=${steps} --record FILE`,
    adapter: "Dawn's null backend",
    load: new LoadWatch(),
    figures: [
      {
        what: `CPU time of a step over a bare loop of its ${result.dispatches} dispatches`,
        reached: result.ratio,
        bound: MOST_RATIO,
        unit: 'times',
      },
      { what: 'bare loop', reached: bare_ms, bound: null, unit: 'ms of CPU time' },
      { what: 'step', reached: step_ms, bound: null, unit: 'ms of CPU time' },
      { what: `ledger's growth ${over}`, reached: result.ledger_bytes, bound: 0, unit: 'bytes' },
      { what: `buffers more ${over}`, reached: result.buffers, bound: 0, unit: 'buffers' },
      {
        what: `heap's growth ${over}`,
        reached: result.heap_bytes_per_step,
        bound: MOST_HEAP_BYTES,
        unit: 'bytes a step',
      },
    ],
  });
}
engine.destroy();
device.destroy();
await gpu.lost;
instance = null;
rmSync(directory, { recursive: true });
process.exit();
