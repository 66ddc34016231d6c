#!/usr/bin/env node
/**
 * NF4 with double quantization decoded on the GPU, as bytes per second against a copy of buffers in the same process:
 * `node bench/micro/dequant.mjs [--json] [--shape=11008x4096] [--dtype=f16]`. Plain JavaScript over dist/.
 */
import { parseArgs } from 'node:util';
import { GpuAllocator } from '../../dist/gpu/allocator.js';
import { Arena } from '../../dist/gpu/arena.js';
import { Ledger } from '../../dist/gpu/ledger.js';
import { ADAPTER_CHOICES, closeDevice, openDevice } from '../../dist/gpu/node.js';
import { makePlan } from '../../dist/gpu/plan.js';
import { bufferOf, Program, preparePlan } from '../../dist/gpu/program.js';
import { Residents } from '../../dist/gpu/residents.js';
import { STEP_BYTES } from '../../dist/gpu/step-scalars.js';
import { Tape } from '../../dist/gpu/tape.js';
import { dequant4bit, TABLE_LENGTH } from '../../dist/kernels/dequant.js';

const BLOCK_SIZE = 64;
const NESTED_BLOCK_SIZE = 256;
/** Long enough that the timer and the submit do not matter. */
const LEAST_SECONDS = 0.5;
const SAMPLES = 7;

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    shape: { type: 'string', default: '11008x4096' },
    dtype: { type: 'string', default: '' },
  },
});
const [out, width] = flags.shape.split('x').map(Number);
if (!Number.isSafeInteger(out * width) || out < 1 || width < 1)
  throw new RangeError(`--shape=${flags.shape}: needs OUTxIN, for example 11008x4096`);
const choice = process.env.NIBBLE_ADAPTER ?? 'auto';
if (!ADAPTER_CHOICES.includes(choice))
  throw new RangeError(`NIBBLE_ADAPTER=${choice}: needs ${ADAPTER_CHOICES.join(', ')}`);

const device = await openDevice({ adapter: choice, unchecked: true });
const dtype = flags.dtype || (device.profile.shaderF16 ? 'f16' : 'f32');
const allocator = new GpuAllocator(device.gpu, new Ledger());
const residents = new Residents(allocator);
const n = out * width;
const blocks = Math.ceil(n / BLOCK_SIZE);
const tensor = (label, elements, kind, usage = 'storage') =>
  residents.tensor({ label, shape: [elements], dtype: kind, category: 'workspace', usage });
const packed = tensor('packed', Math.ceil(n / 2), 'u8');
const codes = tensor('codes', blocks, 'u8');
const nested = tensor('nested', Math.ceil(blocks / NESTED_BLOCK_SIZE) + 1, 'f32');
const w = tensor('w', n, dtype);
const target = tensor('target', n, dtype);
const tables = tensor('tables', TABLE_LENGTH, 'f32');
const step = tensor('step', STEP_BYTES / 4, 'u32', 'uniform');
const flagWord = tensor('flags', 1, 'u32');

const tape = new Tape({ profile: device.profile, shaders: device.shaders, step, flags: flagWord });
const scales = { kind: 'double', codes, nested };
dequant4bit(tape, { n, blockSize: BLOCK_SIZE, firstBlock: 0, packed, scales, tables, w });
const plan = makePlan('dequant', tape.commands);
const program = await Program.compile(device, preparePlan(plan, allocator), {
  residents,
  arena: new Arena(allocator, [plan]),
});
const [from, to] = [w, target].map((t) => bufferOf(residents.allocationOf(t.storage)));

/** Median seconds of one run, measured over as many as take LEAST_SECONDS. */
async function seconds(encode) {
  const run = async (times) => {
    const started = performance.now();
    const encoder = device.gpu.createCommandEncoder();
    for (let i = 0; i < times; i++) encode(encoder);
    device.gpu.queue.submit([encoder.finish()]);
    await device.gpu.queue.onSubmittedWorkDone();
    return (performance.now() - started) / 1000;
  };
  await run(1);
  const times = Math.max(1, Math.ceil(LEAST_SECONDS / SAMPLES / (await run(1))));
  const samples = [];
  for (let i = 0; i < SAMPLES; i++) samples.push((await run(times)) / times);
  return samples.sort((a, b) => a - b)[Math.floor(SAMPLES / 2)];
}

const dequantSeconds = await seconds((encoder) => program.encode(encoder));
const copySeconds = await seconds((encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, w.bytes));
device.throwIfFailed();
const bytes = packed.bytes + codes.bytes + nested.bytes + w.bytes;
const result = {
  adapter: device.adapter.description,
  software: device.profile.software,
  shape: [out, width],
  dtype,
  bytes,
  dequant_gb_per_s: bytes / dequantSeconds / 1e9,
  // a copy reads and writes
  copy_gb_per_s: (2 * w.bytes) / copySeconds / 1e9,
};
result.ratio = result.dequant_gb_per_s / result.copy_gb_per_s;
if (flags.json) console.log(JSON.stringify(result));
else {
  console.log(`${result.adapter}${result.software ? ' (software driver)' : ''}, NF4 ${flags.shape} to ${dtype}`);
  console.log(`dequantize ${result.dequant_gb_per_s.toFixed(2)} GB/s, copy ${result.copy_gb_per_s.toFixed(2)} GB/s`);
  console.log(`ratio ${result.ratio.toFixed(3)}`);
}
residents.destroy();
await closeDevice(device);
process.exit(0); // Dawn may keep a thread for a moment
