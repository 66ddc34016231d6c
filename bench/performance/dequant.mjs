#!/usr/bin/env node
/**
 * NF4 with double quantization decoded on the GPU, as bytes per second against a copy of buffers in the same process; and a few
 * rows through the packed weight (matvec_4bit) against decoding it for a product:
 * `node bench/performance/dequant.mjs [--json] [--shape=11008x4096] [--dtype=f16] [--rows=1,2,4,8]`. Plain JavaScript over dist/.
 */
import { parseArgs } from 'node:util';
import { GpuAllocator } from '#dist/gpu/allocator.js';
import { Arena } from '#dist/gpu/arena.js';
import { Ledger } from '#dist/gpu/ledger.js';
import { makePlan } from '#dist/gpu/plan.js';
import { bufferOf, Program, preparePlan } from '#dist/gpu/program.js';
import { Residents } from '#dist/gpu/residents.js';
import { Tape } from '#dist/gpu/tape.js';
import { dequant4bit, TABLE_LENGTH } from '#dist/kernels/dequant.js';
import { matmulNt } from '#dist/kernels/matmul.js';
import { isMatvec, matvec4bit } from '#dist/kernels/matvec-4bit.js';
import { closeDevice, DEVICE_CHOICES, openDevice } from '#dist/node/device.js';
import { STEP_BYTES } from '#dist/train/step-scalars.js';
import { median } from '../shared/record.mjs';

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
    rows: { type: 'string', default: '1,2,4,8' },
  },
});
const [out, width] = flags.shape.split('x').map(Number);
if (!Number.isSafeInteger(out * width) || out < 1 || width < 1)
  throw new RangeError(`--shape=${flags.shape}: needs OUTxIN, for example 11008x4096`);
const choice = process.env.NIBBLE_DEVICE ?? 'auto';
if (!DEVICE_CHOICES.includes(choice))
  throw new RangeError(`NIBBLE_DEVICE=${choice}: needs ${DEVICE_CHOICES.join(', ')}`);

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

const scales = { kind: 'double', codes, nested };
const rowCounts = flags.rows.split(',').map(Number);
const most = Math.max(...rowCounts);
const [x, y] = [tensor('x', most * width, 'f32'), tensor('y', most * out, 'f32')];
// what a buffer starts with, zeros, is quicker to multiply on some GPUs than what weights hold
const noise = (of, word) => {
  const words = Uint32Array.from({ length: of.bytes >> 2 }, (_, i) => word(Math.imul(i + 1, 2_654_435_761) >>> 0));
  for (let at = 0; at < words.length; at += 2 ** 22)
    device.gpu.queue.writeBuffer(
      bufferOf(residents.allocationOf(of.storage)),
      4 * at,
      words.subarray(at, at + 2 ** 22),
    );
};
noise(packed, (bits) => bits);
noise(codes, (bits) => bits);
// f32 bits of 1 to 2
for (const of of [x, nested, tables]) noise(of, (bits) => 0x3f800000 | (bits >>> 9));

/** What `record` puts on a tape, ready to be encoded again and again. */
async function programOf(label, record) {
  const tape = new Tape({ profile: device.profile, shaders: device.shaders, step, flags: flagWord });
  record(tape);
  const plan = makePlan(label, tape.commands);
  const arena = new Arena(allocator, [plan]);
  return Program.compile(device, preparePlan(plan, allocator), { residents, arena });
}
const weight = { blockSize: BLOCK_SIZE, firstBlock: 0, packed, scales, tables };
const decode = (tape) => dequant4bit(tape, { n, ...weight, w });
const program = await programOf('dequant', decode);
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
  return median(samples);
}

const dequantSeconds = await seconds((encoder) => program.encode(encoder));
const copySeconds = await seconds((encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, w.bytes));
const matvec = [];
for (const T of isMatvec(1, width) ? rowCounts : []) {
  const call = { T, N: out, K: width, ...weight, x, y, operands: dtype };
  const fused = await programOf('matvec', (tape) => matvec4bit(tape, call));
  const product = await programOf('product', (tape) => {
    decode(tape);
    matmulNt(tape, { M: T, N: out, K: width, x, w, y });
  });
  // in turns, so that what drifts meets both
  const pairs = [];
  for (let i = 0; i < 3; i++)
    pairs.push([
      await seconds((encoder) => fused.encode(encoder)),
      await seconds((encoder) => product.encode(encoder)),
    ]);
  const [fusedSeconds, productSeconds] = [0, 1].map((side) => median(pairs.map((pair) => pair[side])));
  matvec.push({
    rows: T,
    fused_us: 1e6 * fusedSeconds,
    decoded_us: 1e6 * productSeconds,
    fused_gb_per_s: (packed.bytes + codes.bytes + nested.bytes) / fusedSeconds / 1e9,
    ratio: median(pairs.map(([one, other]) => one / other)),
  });
}
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
  matvec,
};
result.ratio = result.dequant_gb_per_s / result.copy_gb_per_s;
if (flags.json) console.log(JSON.stringify(result));
else {
  console.log(`${result.adapter}${result.software ? ' (software driver)' : ''}, NF4 ${flags.shape} to ${dtype}`);
  console.log(`dequantize ${result.dequant_gb_per_s.toFixed(2)} GB/s, copy ${result.copy_gb_per_s.toFixed(2)} GB/s`);
  console.log(`ratio ${result.ratio.toFixed(3)}`);
  for (const { rows, fused_us, decoded_us, ratio } of matvec)
    console.log(
      `${rows} rows: fused ${fused_us.toFixed(0)} us, decoded for a product ${decoded_us.toFixed(0)} us, ratio ${ratio.toFixed(3)}`,
    );
}
residents.destroy();
await closeDevice(device);
process.exit(0); // Dawn may keep a thread for a moment
