#!/usr/bin/env node
/**
 * CPU time of a replayed training step against a bare loop of the same calls, and whether steps leave anything behind:
 * `node bench/performance/replay.mjs [--json] [--layers=16] [--steps=1000] [--record FILE]`. Dawn's null backend runs no kernel, so that all time
 * is the host's. Plain JavaScript over dist/.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { create, globals } from 'webgpu';
import { loadTrainConfig } from '#dist/config/index.js';
import { Device } from '#dist/gpu/device.js';
import { KNOWN_PROFILES } from '#dist/gpu/device-profile.js';
import { loadShaders } from '#dist/node/device.js';
import { nodeReader } from '#dist/node/files.js';
import { Engine } from '#dist/train/engine.js';
import { allocate, readRunInput } from '#dist/train/session.js';
import { LoadWatch, writeRecord } from '../shared/record.mjs';

/** What the project promises: CPU time of a step over that of the bare loop. */
const MOST_RATIO = 1.5;
const SAMPLES = 15;
const S = 32;

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    layers: { type: 'string', default: '16' },
    steps: { type: 'string', default: '1000' },
    record: { type: 'string' },
  },
});
const [layers, steps] = [Number(flags.layers), Number(flags.steps)];
if (!(Number.isSafeInteger(layers) && layers > 0 && Number.isSafeInteger(steps) && steps >= SAMPLES))
  throw new RangeError(
    `--layers=${flags.layers} --steps=${flags.steps}: need whole numbers, at least ${SAMPLES} steps`,
  );

Object.assign(globalThis, globals);
// held until the end: Dawn aborts the process when it is collected while a device lives
let instance = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
const adapter = await instance.requestAdapter();
const gpu = await adapter.requestDevice({ requiredFeatures: ['shader-f16'] });
const profile = { ...KNOWN_PROFILES.swiftshader, name: 'null' };
const description = { vendor: '', architecture: '', device: '', description: 'null backend', isFallbackAdapter: false };
const device = new Device({
  gpu,
  profile,
  adapter: { ...description, features: [], limits: {}, toggles: [] },
  shaders: loadShaders(),
});

const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-replay-'));
const shape = {
  ...{ architectures: ['LlamaForCausalLM'], vocab_size: 64, hidden_size: 64, intermediate_size: 128 },
  ...{ num_hidden_layers: layers, num_attention_heads: 4, max_position_embeddings: S, dtype: 'float32' },
};
writeFileSync(path.join(directory, 'config.json'), JSON.stringify(shape));
writeFileSync(path.join(directory, 'random_weights.json'), '{"seed": 0, "std": 0.02}');
const ids = Array.from({ length: S }, (_, i) => i);
writeFileSync(path.join(directory, 'rows.jsonl'), `${JSON.stringify({ input_ids: ids })}\n`);
const { values: config } = loadTrainConfig({
  flags: {
    ...{ model_name_or_path: directory, method: 'qlora', lora_target_modules: 'all-linear', max_steps: String(steps) },
    ...{ datasets: JSON.stringify([{ path: path.join(directory, 'rows.jsonl') }]), per_device_train_batch_size: '1' },
  },
});
const input = await readRunInput(config, nodeReader);
const { memory, ledger } = await allocate({ device }, input);
const engine = await Engine.compile(device, memory);
const batch = { B: 1, S, inputIds: Uint32Array.from(ids), labels: Int32Array.from(ids) };
const scalars = { lr: 1e-4, bias1: 1, sqrt_bias2: 1, inv_tokens: 1 / S, loss_scale: 1, step: 0, seed: 0 };
const step = () => engine.trainStep([batch], scalars);

// The calls of a step, as a program that knows nothing else would make them.
const calls = [];
for (const program of engine.programs()) program.encode(recorder(calls));
function recorder(into) {
  let pipeline;
  let group;
  const pass = {
    setPipeline: (p) => {
      pipeline = p;
    },
    setBindGroup: (_, g) => {
      group = g;
    },
    dispatchWorkgroups: (x, y) => into.push([pipeline, group, x, y]),
    end: () => undefined,
  };
  return { beginComputePass: () => pass, clearBuffer: () => undefined, copyBufferToBuffer: () => undefined };
}
function bareLoop() {
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const [pipeline, group, x, y] of calls) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y);
  }
  pass.end();
  gpu.queue.submit([encoder.finish()]);
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
/** CPU time of the process, so that other work on the machine does not count. */
async function cpuMs(work) {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
/** Heap that a step may leave: what V8 itself keeps is spread over the steps, and is no tensor, buffer or closure. */
const MOST_HEAP_BYTES = 256;

function recordOf({ dispatches, ratio, bare_ms, step_ms, heap_bytes_per_step, ledger_bytes, buffers }) {
  const over = `over ${steps} steps`;
  const figures = [
    {
      what: `CPU time of a step over a bare loop of its ${dispatches} dispatches`,
      reached: ratio,
      bound: MOST_RATIO,
      unit: 'times',
    },
    { what: 'bare loop', reached: bare_ms, bound: null, unit: 'ms of CPU time' },
    { what: 'step', reached: step_ms, bound: null, unit: 'ms of CPU time' },
    { what: `ledger's growth ${over}`, reached: ledger_bytes, bound: 0, unit: 'bytes' },
    { what: `buffers more ${over}`, reached: buffers, bound: 0, unit: 'buffers' },
    { what: `heap's growth ${over}`, reached: heap_bytes_per_step, bound: MOST_HEAP_BYTES, unit: 'bytes a step' },
  ];
  const command = `npm run build && node --expose-gc bench/performance/replay.mjs --layers=${layers} --steps=${steps} --record FILE`;
  const title = `A replayed QLoRA step of ${layers} layers`;
  return { row: 6, title, command, adapter: "Dawn's null backend", load: new LoadWatch(), figures };
}

const bare = [];
const replayed = [];
await step();
bareLoop();
for (let i = 0; i < SAMPLES; i++) {
  // one after the other, so that what drifts meets both
  bare.push(
    await cpuMs(async () => {
      bareLoop();
      await gpu.queue.onSubmittedWorkDone();
    }),
  );
  replayed.push(await cpuMs(step));
}

global.gc?.();
const before = { heap: process.memoryUsage().heapUsed, ledger: ledger.currentBytes, buffers: ledger.liveCount };
for (let i = 0; i < steps; i++) await step();
global.gc?.();
const result = {
  dispatches: calls.length,
  bare_ms: median(bare),
  step_ms: median(replayed),
  steps,
  heap_bytes_per_step: global.gc ? (process.memoryUsage().heapUsed - before.heap) / steps : null,
  ledger_bytes: ledger.currentBytes - before.ledger,
  buffers: ledger.liveCount - before.buffers,
};
result.ratio = result.step_ms / result.bare_ms;
if (flags.json) console.log(JSON.stringify(result));
else {
  console.log(`${result.dispatches} dispatches of a QLoRA step, ${layers} layers, null backend, CPU time`);
  console.log(`bare loop ${result.bare_ms.toFixed(2)} ms, step ${result.step_ms.toFixed(2)} ms`);
  console.log(`ratio ${result.ratio.toFixed(3)} (promised: at most ${MOST_RATIO})`);
  const heap = result.heap_bytes_per_step;
  console.log(
    `over ${steps} steps: ledger ${result.ledger_bytes} bytes, ${result.buffers} buffers, ` +
      `heap ${heap === null ? 'not measured (node --expose-gc)' : `${heap.toFixed(1)} bytes a step`}`,
  );
}
if (flags.record) writeRecord(flags.record, recordOf(result));
engine.destroy();
device.destroy();
await gpu.lost;
instance = null;
rmSync(directory, { recursive: true });
process.exit(0);
