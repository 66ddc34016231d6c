#!/usr/bin/env node
import { availableParallelism } from 'node:os';
/** How fast one thread quantizes, held against how fast it copies: `npm run bench:micro`. */
import { max as largest } from 'simple-statistics';
import { Bench } from 'tinybench';
import { createQuantizerPool, loadWasmModule } from '#dist/node/codec.js';
import { dequantize4bit, narrow, quantize4bit } from '#dist/wasm/buffers.js';
import { Codec } from '#dist/wasm/codec.js';
import { createQuantizer } from '#dist/wasm/quantizer.js';
import { count, readOptions } from '../shared/options.mjs';

/** What the project promises: NF4 with double quantization, bytes of f32 source against bytes copied. */
const LEAST_RATIO = 0.15;
const BLOCK_SIZE = 64;
const ITERATIONS = 8;

const USAGE = `usage: npm run bench:micro [-- options]
Exits with 1 where NF4 with double quantization is below ${LEAST_RATIO} of a copy.
  --mib N  of f32 source, larger than the CPU's cache  (256)
  --json`;
const flags = readOptions(USAGE, {
  mib: { type: 'string', default: '256' },
  json: { type: 'boolean', default: false },
});
const elements = count('mib', flags.mib) * 2 ** 18;

/** Roughly normal, sd 0.02: speed does not depend on the values. @param {number} length */
function weights(length) {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length }, () => (uniform() + uniform() + uniform() - 1.5) * 0.04);
}

const module = await loadWasmModule();
const codec = new Codec(module);
const f32 = weights(elements);
const sources = {
  float32: new Uint8Array(f32.buffer),
  bfloat16: narrow(codec, f32, 'bfloat16'),
  float16: narrow(codec, f32, 'float16'),
};
const copyTarget = new Uint8Array(sources.float32.byteLength).fill(1);
const packed = new Uint8Array(elements / 2).fill(1);

/**
 * The whole way of a tensor, as the model loader goes it: read into the module's memory, quantize, hand out.
 * @param {import('#dist/wasm/types.js').Quantizer} quantizer
 * @param {keyof typeof sources} dtype
 * @param {import('#dist/wasm/types.js').QuantType} [quantType]
 */
function stream(quantizer, dtype, quantType = 'nf4') {
  const source = sources[dtype];
  return quantizer.quantize4bit({
    name: 'bench',
    elements,
    dtype,
    spec: { quantType, blockSize: BLOCK_SIZE, doubleQuant: true },
    read: async (byteOffset, into) => into.set(source.subarray(byteOffset, byteOffset + into.byteLength)),
    onPacked: (byteOffset, bytes) => packed.set(bytes, byteOffset),
  });
}

const one = createQuantizer(module);
const workerCounts = [1, 2, 4, 8].filter((workers) => workers <= Math.max(2, availableParallelism()));
const pools = workerCounts.map((workers) => createQuantizerPool(module, { workers }));
const dequantized = quantize4bit(codec, sources.float32, 'float32', {
  quantType: 'nf4',
  blockSize: BLOCK_SIZE,
  doubleQuant: true,
});
const copy = () => copyTarget.set(sources.float32);

const bench = new Bench({ time: 0, iterations: ITERATIONS, warmupTime: 0, warmupIterations: 2 });
bench
  .add('copy, before', copy)
  .add('nf4 + double quant, f32 source', () => stream(one, 'float32'))
  .add('nf4 + double quant, bf16 source', () => stream(one, 'bfloat16'))
  .add('nf4 + double quant, f16 source', () => stream(one, 'float16'))
  .add('fp4 + double quant, f32 source', () => stream(one, 'float32', 'fp4'))
  .add('decode nf4 + double quant to f32', () => {
    const spec = { quantType: /** @type {const} */ ('nf4'), blockSize: BLOCK_SIZE };
    copyTarget[0] = dequantize4bit(codec, dequantized, elements, spec, 'float32')[0];
  })
  .add('copy, after', copy);
for (const [i, pool] of pools.entries()) {
  bench.add(`nf4 + double quant, f32 source, ${workerCounts[i]} workers`, () => stream(pool, 'float32'));
  bench.add(`nf4 + double quant, bf16 source, ${workerCounts[i]} workers`, () => stream(pool, 'bfloat16'));
}
await bench.run();
await Promise.all([one, ...pools].map((quantizer) => quantizer.close()));

const rows = bench.tasks.map((task) => {
  if (task.result.state === 'errored') throw task.result.error;
  if (task.result.state !== 'completed') throw new Error(`${task.name}: ${task.result.state}`);
  const seconds = task.result.latency.p50 / 1000;
  return {
    name: task.name,
    medianMs: task.result.latency.p50,
    elementsPerSecond: elements / seconds,
    f32BytesPerSecond: (elements * 4) / seconds,
  };
});
// Against the faster of the two copies: noise can only make the promise harder to keep.
const copyBytesPerSecond = largest(rows.filter((r) => r.name.startsWith('copy')).map((r) => r.f32BytesPerSecond));
const compared = rows.map((row) => ({ ...row, ratioToCopy: row.f32BytesPerSecond / copyBytesPerSecond }));
const judged = compared.filter((r) => /^nf4 .*, (f32|bf16) source$/.test(r.name));
const passed = judged.length === 2 && judged.every((r) => r.ratioToCopy >= LEAST_RATIO);

if (flags.json) {
  console.log(
    JSON.stringify({ elements, iterations: ITERATIONS, leastRatio: LEAST_RATIO, passed, rows: compared }, null, 2),
  );
} else {
  const width = largest(rows.map((r) => r.name.length));
  console.log(`${elements} elements (${flags.mib} MiB of f32), block ${BLOCK_SIZE}, median of ${ITERATIONS}`);
  console.log(`${''.padEnd(width)}  Gelem/s  GB/s as f32  of copy`);
  for (const { name, elementsPerSecond, f32BytesPerSecond, ratioToCopy } of compared) {
    const cells = [(elementsPerSecond / 1e9).toFixed(3).padStart(7), (f32BytesPerSecond / 1e9).toFixed(2).padStart(11)];
    console.log(`${name.padEnd(width)}  ${cells.join('  ')}  ${ratioToCopy.toFixed(2).padStart(7)}`);
  }
  console.log(`${passed ? 'ok' : 'TOO SLOW'}: one thread, f32 and bf16 source, at least ${LEAST_RATIO} of copy`);
}
process.exitCode = passed ? 0 : 1;
