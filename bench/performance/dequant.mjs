#!/usr/bin/env node
/**
 * NF4 with double quantization decoded on the GPU, as bytes per second against a copy of buffers in the same process; and a few
 * rows through the packed weight (matvec_4bit) against decoding it for a product.
 */
import { max as largest, median } from 'simple-statistics';
import { Machine } from '#dist/gpu/machine.js';
import { dequant4bit, TABLE_LENGTH } from '#dist/kernels/dequant.js';
import { matmulNt } from '#dist/kernels/matmul.js';
import { isMatvec, matvec4bit } from '#dist/kernels/matvec-4bit.js';
import { closeDevice } from '#dist/node/device.js';
import { NESTED_BLOCK_SIZE } from '#dist/wasm/types.js';
import { openTunedDevice, secondsOf } from '../shared/device.mjs';
import { count, readOptions, refuse, shapes } from '../shared/options.mjs';

const USAGE = `usage: node bench/performance/dequant.mjs [options]   NIBBLE_DEVICE picks the device
  --shape OUTxIN  of the weight  (11008x4096)
  --dtype D       that it is decoded to: f16 or f32  (f16 where the device has it)
  --rows a,b      of the products  (1,2,4,8)
  --json`;
const flags = readOptions(USAGE, {
  shape: { type: 'string', default: '11008x4096' },
  dtype: { type: 'string', default: '' },
  rows: { type: 'string', default: '1,2,4,8' },
  json: { type: 'boolean', default: false },
});
const [[out, width]] = shapes('shape', flags.shape, 'OUTxIN');
const rowCounts = flags.rows.split(',').map((text) => count('rows', text));

const BLOCK_SIZE = 64;
/** Long enough that the timer and the submit do not matter. */
const LEAST_SECONDS = 0.5;
const SAMPLES = 7;

const device = await openTunedDevice();
const dtype = chosenDtype();
const machine = Machine.on(device);
const n = out * width;
const blocks = Math.ceil(n / BLOCK_SIZE);

/** @returns {'f16' | 'f32'} */
function chosenDtype() {
  if (flags.dtype === '') return device.profile.shaderF16 ? 'f16' : 'f32';
  if (flags.dtype !== 'f16' && flags.dtype !== 'f32') return refuse(`--dtype: got ${flags.dtype}, wanted f16 or f32`);
  return flags.dtype;
}

/** @typedef {import('#dist/gpu/tensor.js').Tensor} Tensor */
/** @typedef {import('#dist/gpu/recorder.js').Recorder} Recorder */
/** @type {(label: string, elements: number, kind: 'f16' | 'f32' | 'u8') => Tensor} */
const tensor = (label, elements, kind) =>
  machine.residents.tensor({ label, shape: [elements], dtype: kind, category: 'workspace' });
const packed = tensor('packed', Math.ceil(n / 2), 'u8');
const codes = tensor('codes', blocks, 'u8');
const nested = tensor('nested', Math.ceil(blocks / NESTED_BLOCK_SIZE) + 1, 'f32');
const w = tensor('w', n, dtype);
const target = tensor('target', n, dtype);
const tables = tensor('tables', TABLE_LENGTH, 'f32');

const scales = { kind: /** @type {const} */ ('double'), codes, nested };
const most = largest(rowCounts);
const [x, y] = [tensor('x', most * width, 'f32'), tensor('y', most * out, 'f32')];
/**
 * What a buffer starts with, zeros, is quicker to multiply on some GPUs than what weights hold.
 * @param {Tensor} into
 * @param {(bits: number) => number} word
 */
function fillWithNoise(into, word) {
  const noise = Uint32Array.from({ length: into.bytes >> 2 }, (_, i) => word(Math.imul(i + 1, 2_654_435_761) >>> 0));
  machine.write(into, noise);
}
for (const bits of [packed, codes]) fillWithNoise(bits, (word) => word);
// f32 bits of 1 to 2
for (const floats of [x, nested, tables]) fillWithNoise(floats, (bits) => 0x3f800000 | (bits >>> 9));

const weight = { blockSize: BLOCK_SIZE, firstBlock: 0, packed, scales, tables };
const decode = (/** @type {Recorder} */ rec) => dequant4bit(rec, { n, ...weight, w });
/** @param {string} name @param {(rec: Recorder) => void} write */
const recorded = (name, write) => {
  const rec = machine.recorder();
  write(rec);
  return { name, commands: rec.commands };
};
const matvecRows = isMatvec(1, width) ? rowCounts : [];
machine.prepare([
  recorded('dequant', decode),
  ...matvecRows.flatMap((T) => [
    recorded(`matvec(${T})`, (rec) => matvec4bit(rec, { T, N: out, K: width, ...weight, x, y, operands: dtype })),
    recorded(`product(${T})`, (rec) => {
      decode(rec);
      matmulNt(rec, { M: T, N: out, K: width, x, w, y });
    }),
  ]),
]);
await machine.compile();

/** Median seconds of one run, measured over as many as take LEAST_SECONDS. @param {(submission: import('../shared/device.mjs').Submission) => unknown} add */
async function seconds(add) {
  await secondsOf(machine, add);
  const repeats = Math.max(1, Math.ceil(LEAST_SECONDS / SAMPLES / (await secondsOf(machine, add))));
  const samples = [];
  for (let i = 0; i < SAMPLES; i++) samples.push(await secondsOf(machine, add, repeats));
  return median(samples);
}

const dequantSeconds = await seconds((submission) => submission.run('dequant'));
const copySeconds = await seconds((submission) => submission.copy(w, target, w.bytes));
const matvec = [];
for (const T of matvecRows) {
  // in turns, so that what drifts meets both
  const pairs = [];
  for (let i = 0; i < 3; i++)
    pairs.push({
      fused: await seconds((submission) => submission.run(`matvec(${T})`)),
      product: await seconds((submission) => submission.run(`product(${T})`)),
    });
  const fusedSeconds = median(pairs.map((pair) => pair.fused));
  matvec.push({
    rows: T,
    fused_us: 1e6 * fusedSeconds,
    decoded_us: 1e6 * median(pairs.map((pair) => pair.product)),
    fused_gb_per_s: (packed.bytes + codes.bytes + nested.bytes) / fusedSeconds / 1e9,
    ratio: median(pairs.map((pair) => pair.fused / pair.product)),
  });
}
device.throwIfFailed();
const bytes = packed.bytes + codes.bytes + nested.bytes + w.bytes;
const dequant_gb_per_s = bytes / dequantSeconds / 1e9;
// a copy reads and writes
const copy_gb_per_s = (2 * w.bytes) / copySeconds / 1e9;
const ratio = dequant_gb_per_s / copy_gb_per_s;
const { software } = device.profile;
const { description } = device.info;
if (flags.json) {
  const shape = [out, width];
  const result = {
    adapter: description,
    software,
    shape,
    dtype,
    bytes,
    dequant_gb_per_s,
    copy_gb_per_s,
    ratio,
    matvec,
  };
  console.log(JSON.stringify(result));
} else {
  console.log(`${description}${software ? ' (software driver)' : ''}, NF4 ${flags.shape} to ${dtype}`);
  console.log(`dequantize ${dequant_gb_per_s.toFixed(2)} GB/s, copy ${copy_gb_per_s.toFixed(2)} GB/s`);
  console.log(`ratio ${ratio.toFixed(3)}`);
  for (const { rows, fused_us, decoded_us, ratio: fusedOver } of matvec)
    console.log(
      `${rows} rows: fused ${fused_us.toFixed(0)} us, decoded for a product ${decoded_us.toFixed(0)} us, ratio ${fusedOver.toFixed(3)}`,
    );
}
machine.destroy();
await closeDevice(device);
process.exit(); // Dawn may keep a thread for a moment
