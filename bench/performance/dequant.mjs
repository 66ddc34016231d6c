#!/usr/bin/env node
/**
 * NF4 with double quantization decoded on the GPU, as bytes per second against a copy of buffers in the same process; and a few
 * rows through the packed weight (matvec_4bit) against decoding it for a product.
 */
import { median } from 'simple-statistics';
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
import { closeDevice } from '#dist/node/device.js';
import { STEP_BYTES } from '#dist/train/step-scalars.js';
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
const allocator = new GpuAllocator(device.gpu, new Ledger());
const residents = new Residents(allocator);
const n = out * width;
const blocks = Math.ceil(n / BLOCK_SIZE);

/** @returns {'f16' | 'f32'} */
function chosenDtype() {
  if (flags.dtype === '') return device.profile.shaderF16 ? 'f16' : 'f32';
  if (flags.dtype !== 'f16' && flags.dtype !== 'f32') return refuse(`--dtype: got ${flags.dtype}, wanted f16 or f32`);
  return flags.dtype;
}

/** @typedef {import('#dist/gpu/tensor.js').Tensor} Tensor */
/** @type {(label: string, elements: number, kind: 'f16' | 'f32' | 'u8' | 'u32', usage?: 'storage' | 'uniform') => Tensor} */
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

const scales = { kind: /** @type {const} */ ('double'), codes, nested };
const most = Math.max(...rowCounts);
const [x, y] = [tensor('x', most * width, 'f32'), tensor('y', most * out, 'f32')];
/**
 * What a buffer starts with, zeros, is quicker to multiply on some GPUs than what weights hold.
 * @param {Tensor} into
 * @param {(bits: number) => number} word
 */
function fillWithNoise(into, word) {
  const noise = Uint32Array.from({ length: into.bytes >> 2 }, (_, i) => word(Math.imul(i + 1, 2_654_435_761) >>> 0));
  const buffer = bufferOf(residents.allocationOf(into.storage));
  for (let at = 0; at < noise.length; at += 2 ** 22)
    device.gpu.queue.writeBuffer(buffer, 4 * at, noise.subarray(at, at + 2 ** 22));
}
for (const bits of [packed, codes]) fillWithNoise(bits, (word) => word);
// f32 bits of 1 to 2
for (const floats of [x, nested, tables]) fillWithNoise(floats, (bits) => 0x3f800000 | (bits >>> 9));

/** What `record` puts on a tape, ready to be encoded again and again. @param {string} label @param {(tape: Tape) => void} record */
async function programOf(label, record) {
  const tape = new Tape({ profile: device.profile, shaders: device.shaders, step, flags: flagWord });
  record(tape);
  const plan = makePlan(label, tape.commands);
  const arena = new Arena(allocator, [plan]);
  return Program.compile(device, preparePlan(plan, allocator), { residents, arena });
}
const weight = { blockSize: BLOCK_SIZE, firstBlock: 0, packed, scales, tables };
const decode = (/** @type {Tape} */ tape) => dequant4bit(tape, { n, ...weight, w });
const program = await programOf('dequant', decode);
const [from, to] = [w, target].map((t) => bufferOf(residents.allocationOf(t.storage)));

/** Median seconds of one run, measured over as many as take LEAST_SECONDS. @param {(encoder: GPUCommandEncoder) => void} encode */
async function seconds(encode) {
  await secondsOf(device, encode);
  const repeats = Math.max(1, Math.ceil(LEAST_SECONDS / SAMPLES / (await secondsOf(device, encode))));
  const samples = [];
  for (let i = 0; i < SAMPLES; i++) samples.push(await secondsOf(device, encode, repeats));
  return median(samples);
}

const dequantSeconds = await seconds((encoder) => program.encode(encoder));
const copySeconds = await seconds((encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, w.bytes));
const matvec = [];
for (const T of isMatvec(1, width) ? rowCounts : []) {
  const fused = await programOf('matvec', (tape) =>
    matvec4bit(tape, { T, N: out, K: width, ...weight, x, y, operands: dtype }),
  );
  const product = await programOf('product', (tape) => {
    decode(tape);
    matmulNt(tape, { M: T, N: out, K: width, x, w, y });
  });
  // in turns, so that what drifts meets both
  const pairs = [];
  for (let i = 0; i < 3; i++)
    pairs.push({
      fused: await seconds((encoder) => fused.encode(encoder)),
      product: await seconds((encoder) => product.encode(encoder)),
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
const { description } = device.adapter;
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
residents.destroy();
await closeDevice(device);
process.exit(); // Dawn may keep a thread for a moment
