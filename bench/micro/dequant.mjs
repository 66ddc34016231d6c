#!/usr/bin/env node
/**
 * NF4 with double quantization decoded on the GPU, as bytes per second against a copy of buffers in the same process; and a few
 * rows through the packed weight (matvec_4bit) against decoding it for a product:
 * `node bench/micro/dequant.mjs [--json] [--shape=11008x4096] [--dtype=f16] [--rows=1,2,4,8]`. Plain JavaScript over dist/.
 */
import { parseArgs } from 'node:util';
import { Machine } from '../../dist/gpu/machine.js';
import { dequant4bit, TABLE_LENGTH } from '../../dist/kernels/dequant.js';
import { matmulNt } from '../../dist/kernels/matmul.js';
import { isMatvec, matvec4bit } from '../../dist/kernels/matvec-4bit.js';
import { closeDevice, openDevice } from '../../dist/node/device.js';
import { DEVICE_CHOICES } from '../../dist/node/device-choice.js';
import { median } from './record.mjs';

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

const device = await openDevice({ device: choice, unchecked: true });
const dtype = flags.dtype || (device.profile.shaderF16 ? 'f16' : 'f32');
const machine = Machine.on(device);
const n = out * width;
const blocks = Math.ceil(n / BLOCK_SIZE);
const tensor = (label, elements, kind) =>
  machine.residents.tensor({ label, shape: [elements], dtype: kind, category: 'workspace' });
const packed = tensor('packed', Math.ceil(n / 2), 'u8');
const codes = tensor('codes', blocks, 'u8');
const nested = tensor('nested', Math.ceil(blocks / NESTED_BLOCK_SIZE) + 1, 'f32');
const w = tensor('w', n, dtype);
const target = tensor('target', n, dtype);
const tables = tensor('tables', TABLE_LENGTH, 'f32');

const scales = { kind: 'double', codes, nested };
const rowCounts = flags.rows.split(',').map(Number);
const most = Math.max(...rowCounts);
const [x, y] = [tensor('x', most * width, 'f32'), tensor('y', most * out, 'f32')];
// what a buffer starts with, zeros, is quicker to multiply on some GPUs than what weights hold
const noise = (of, word) => {
  const words = Uint32Array.from({ length: of.bytes >> 2 }, (_, i) => word(Math.imul(i + 1, 2_654_435_761) >>> 0));
  machine.write(of, words);
};
noise(packed, (bits) => bits);
noise(codes, (bits) => bits);
// f32 bits of 1 to 2
for (const of of [x, nested, tables]) noise(of, (bits) => 0x3f800000 | (bits >>> 9));

const weight = { blockSize: BLOCK_SIZE, firstBlock: 0, packed, scales, tables };
const decode = (rec) => dequant4bit(rec, { n, ...weight, w });
const phases = [];
const record = (name, write) => {
  const rec = machine.recorder();
  write(rec);
  phases.push({ name, commands: rec.commands });
};
record('dequant', decode);
const matvecRows = isMatvec(1, width) ? rowCounts : [];
for (const T of matvecRows) {
  const call = { T, N: out, K: width, ...weight, x, y, operands: dtype };
  record(`matvec(${T})`, (rec) => matvec4bit(rec, call));
  record(`product(${T})`, (rec) => {
    decode(rec);
    matmulNt(rec, { M: T, N: out, K: width, x, w, y });
  });
}
machine.prepare(phases);
await machine.compile();

/** Median seconds of one run, measured over as many as take LEAST_SECONDS. */
async function seconds(add) {
  const run = async (times) => {
    const started = performance.now();
    const submission = machine.submission('sample');
    for (let i = 0; i < times; i++) add(submission);
    submission.submit();
    await device.gpu.queue.onSubmittedWorkDone();
    return (performance.now() - started) / 1000;
  };
  await run(1);
  const times = Math.max(1, Math.ceil(LEAST_SECONDS / SAMPLES / (await run(1))));
  const samples = [];
  for (let i = 0; i < SAMPLES; i++) samples.push((await run(times)) / times);
  return median(samples);
}

const dequantSeconds = await seconds((submission) => submission.run('dequant'));
const copySeconds = await seconds((submission) => submission.copy(w, target, w.bytes));
const matvec = [];
for (const T of matvecRows) {
  // in turns, so that what drifts meets both
  const pairs = [];
  for (let i = 0; i < 3; i++)
    pairs.push([
      await seconds((submission) => submission.run(`matvec(${T})`)),
      await seconds((submission) => submission.run(`product(${T})`)),
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
  adapter: device.info.description,
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
machine.destroy();
await closeDevice(device);
process.exit(0); // Dawn may keep a thread for a moment
