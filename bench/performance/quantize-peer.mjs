#!/usr/bin/env node
/**
 * NF4 with double quantization of bf16 weights: ours on one thread and on 1 and 2 workers, bitsandbytes on one thread of the
 * same CPU, one after the other in turns.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { median, min as smallest } from 'simple-statistics';
import { createQuantizerPool, loadWasmModule } from '#dist/node/codec.js';
import { createQuantizer } from '#dist/wasm/quantizer.js';
import { cpuSeconds, LoadWatch, timed, wallSeconds } from '../shared/clock.mjs';
import { count, readOptions } from '../shared/options.mjs';
import { writeRecord } from '../shared/record.mjs';

/** What the project promises: elements a second of ours over bitsandbytes', a thread each. */
const LEAST_RATIO = 20;
const ROUNDS = 9;
const ROW = 4096;
const F32_ONE_AS_BF16_BITS = 0x3f80;

const USAGE = `usage: node bench/performance/quantize-peer.mjs --python PYTHON [options]
Threads are held against each other by CPU time, which other work on the machine does not enter; workers by the clock. Exits with
1 where ours is below ${LEAST_RATIO} times bitsandbytes.
  --python PYTHON  one that has torch and bitsandbytes  (python3)
  --mib N          of bf16 weights  (32)
  --record FILE    writes what was measured`;
const flags = readOptions(USAGE, {
  python: { type: 'string', default: 'python3' },
  mib: { type: 'string', default: '32' },
  record: { type: 'string' },
});
const elements = Math.floor((count('mib', flags.mib) * 2 ** 20) / 2 / ROW) * ROW;

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
/** @param {import('#dist/wasm/types.js').Quantizer} quantizer */
const quantize = (quantizer) =>
  quantizer.quantize4bit({
    name: 'bench',
    elements,
    dtype: 'bfloat16',
    spec: { quantType: 'nf4', blockSize: 64, doubleQuant: true },
    read: async (offset, into) => into.set(source.subarray(offset, offset + into.byteLength)),
    onPacked: (offset, bytes) => packed.set(bytes, offset),
  });

/** @typedef {{ name: string, times: number[] }} Arm seconds of each round */
const ours = [
  { name: 'one thread', quantizer: createQuantizer(module), clock: cpuSeconds, times: /** @type {number[]} */ ([]) },
  ...[1, 2].map((workers) => ({
    name: `${workers} worker${workers === 1 ? '' : 's'}`,
    quantizer: createQuantizerPool(module, { workers }),
    clock: wallSeconds,
    times: /** @type {number[]} */ ([]),
  })),
];
const [oneThread, oneWorker, twoWorkers] = ours;
/** @type {Arm} */
const bitsandbytes = { name: 'bitsandbytes', times: [] };
for (const { quantizer } of ours) await quantize(quantizer);
const load = new LoadWatch();
for (let round = 0; round < ROUNDS; round++) {
  for (const { quantizer, clock, times } of ours) times.push(await timed(() => quantize(quantizer), clock));
  peer.stdin.write('\n');
  bitsandbytes.times.push(await answer());
  load.look();
}
peer.stdin.end();
await Promise.all(ours.map(({ quantizer }) => quantizer.close()));

/** 1e9 elements a second, of the median round and of the fastest. @param {Arm} arm */
const speed = ({ times }) => elements / median(times) / 1e9;
/** @param {Arm} arm */
const fastest = ({ times }) => elements / smallest(times) / 1e9;
/** @param {string} name @param {Arm} arm @param {string} unit */
const speedFigure = (name, arm, unit) => ({
  what: name,
  reached: speed(arm),
  bound: null,
  unit,
  note: `fastest round ${fastest(arm).toPrecision(3)}`,
});
const ratio = speed(oneThread) / speed(bitsandbytes);
const figures = [
  {
    what: 'ours over bitsandbytes, one thread each, medians of CPU time',
    reached: ratio,
    bound: LEAST_RATIO,
    least: true,
    unit: 'times',
  },
  {
    what: 'the same, the fastest round of each',
    reached: fastest(oneThread) / fastest(bitsandbytes),
    bound: null,
    unit: 'times',
    note: 'what other work on the machine moves least',
  },
  ...ours.map((arm) =>
    speedFigure(`ours, ${arm.name}`, arm, arm.clock === cpuSeconds ? 'Gelem/s of CPU time' : 'Gelem/s by the clock'),
  ),
  speedFigure('bitsandbytes, one thread', bitsandbytes, 'Gelem/s of CPU time'),
  {
    what: '2 workers over 1, medians',
    reached: speed(twoWorkers) / speed(oneWorker),
    bound: null,
    unit: 'times',
    note: `fastest rounds ${(fastest(twoWorkers) / fastest(oneWorker)).toPrecision(3)}`,
  },
];
for (const figure of figures)
  console.log(`${figure.what}: ${figure.reached.toPrecision(4)} ${figure.unit} ${'note' in figure ? figure.note : ''}`);
if (flags.record)
  writeRecord(flags.record, {
    row: 8,
    title: 'NF4 with double quantization against bitsandbytes on the CPU',
    command: 'npm run build && node bench/performance/quantize-peer.mjs --python PYTHON --record FILE',
    load,
    versions: { ...versions, weights: `${elements} in bf16`, rounds: ROUNDS },
    figures,
  });
process.exitCode = ratio >= LEAST_RATIO ? 0 : 1;
