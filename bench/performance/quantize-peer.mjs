#!/usr/bin/env node
/**
 * NF4 with double quantization of bf16 weights: ours on one thread and on 1 and 2 workers, bitsandbytes on one thread of the
 * same CPU, one after the other in turns: `node bench/performance/quantize-peer.mjs --python PYTHON [--mib 32] [--record FILE]`.
 * Threads are held against each other by CPU time, which other work on the machine does not enter; workers by the clock.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createQuantizerPool, loadWasmModule } from '#dist/node/codec.js';
import { createQuantizer } from '#dist/wasm/quantizer.js';
import { LoadWatch, median, writeRecord } from '../shared/record.mjs';

/** What the project promises: elements a second of ours over bitsandbytes', a thread each. */
const LEAST_RATIO = 20;
const ROUNDS = 9;
const ROW = 4096;
const F32_ONE_AS_BF16_BITS = 0x3f80;

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    mib: { type: 'string', default: '32' },
    record: { type: 'string' },
  },
});
const elements = Math.floor((Number(flags.mib) * 2 ** 20) / 2 / ROW) * ROW;
if (!(elements > 0)) throw new RangeError(`--mib=${flags.mib}: needs MiB of bf16 weights`);

const peer = spawn(flags.python, [fileURLToPath(new URL('quantize_peer.py', import.meta.url)), `${elements}`], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
const lines = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
const answer = async () => {
  const { value, done } = await lines.next();
  if (done) throw new Error(`${flags.python} ended: it needs torch and bitsandbytes`);
  return JSON.parse(value);
};
const versions = await answer();

// values of both signs from 2^-15 to 1: speed does not depend on them
const bits = Uint16Array.from({ length: elements }, (_, i) => {
  const mixed = Math.imul(i + 1, 2_654_435_761) >>> 0;
  return ((mixed & 1) << 15) | (F32_ONE_AS_BF16_BITS - ((mixed >>> 8) & 0x7ff));
});
const source = new Uint8Array(bits.buffer);
const packed = new Uint8Array(elements / 2);
const module = await loadWasmModule();
const wallSeconds = () => performance.now() / 1000;
function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
async function seconds(quantizer, clock = wallSeconds) {
  const started = clock();
  await quantizer.quantize4bit({
    ...{ name: 'bench', elements, dtype: 'bfloat16' },
    spec: { quantType: 'nf4', blockSize: 64, doubleQuant: true },
    read: async (offset, into) => into.set(source.subarray(offset, offset + into.byteLength)),
    onPacked: (offset, bytes) => packed.set(bytes, offset),
  });
  return clock() - started;
}

const ours = {
  'one thread': createQuantizer(module),
  '1 worker': createQuantizerPool(module, { workers: 1 }),
  '2 workers': createQuantizerPool(module, { workers: 2 }),
};
const times = Object.fromEntries([...Object.keys(ours), 'bitsandbytes'].map((name) => [name, []]));
for (const quantizer of Object.values(ours)) await seconds(quantizer);
const load = new LoadWatch();
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, quantizer] of Object.entries(ours))
    times[name].push(await seconds(quantizer, name === 'one thread' ? cpuSeconds : wallSeconds));
  peer.stdin.write('\n');
  times.bitsandbytes.push(await answer());
  load.look();
}
peer.stdin.end();
await Promise.all(Object.values(ours).map((quantizer) => quantizer.close()));

const speed = (name) => elements / median(times[name]) / 1e9;
const best = (name) => elements / Math.min(...times[name]) / 1e9;
const figures = [
  {
    ...{
      what: 'ours over bitsandbytes, one thread each, medians of CPU time',
      reached: speed('one thread') / speed('bitsandbytes'),
    },
    ...{ bound: LEAST_RATIO, least: true, unit: 'times' },
  },
  {
    ...{ what: 'the same, the fastest round of each', reached: best('one thread') / best('bitsandbytes') },
    ...{ bound: null, unit: 'times', note: 'what other work on the machine moves least' },
  },
  ...Object.keys(times).map((name) => ({
    ...{ what: `${name === 'bitsandbytes' ? 'bitsandbytes, one thread' : `ours, ${name}`}`, reached: speed(name) },
    ...{
      bound: null,
      unit: name.includes('worker') ? 'Gelem/s by the clock' : 'Gelem/s of CPU time',
      note: `fastest round ${best(name).toPrecision(3)}`,
    },
  })),
  {
    ...{ what: '2 workers over 1, medians', reached: speed('2 workers') / speed('1 worker') },
    ...{ bound: null, unit: 'times', note: `fastest rounds ${(best('2 workers') / best('1 worker')).toPrecision(3)}` },
  },
];
for (const { what, reached, unit, note = '' } of figures)
  console.log(`${what}: ${reached.toPrecision(4)} ${unit} ${note}`);
if (flags.record)
  writeRecord(flags.record, {
    ...{ row: 8, title: 'NF4 with double quantization against bitsandbytes on the CPU', load, figures },
    command: 'npm run build && node bench/performance/quantize-peer.mjs --python PYTHON --record FILE',
    versions: { ...versions, weights: `${elements} in bf16`, rounds: ROUNDS },
  });
process.exitCode = figures[0].reached >= LEAST_RATIO ? 0 : 1;
