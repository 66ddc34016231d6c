#!/usr/bin/env node
/**
 * Attention and matrix products of two built checkouts at the quick suite's shapes, in one process and in turns:
 *
 *   node bench/performance/kernels-paired.mjs --before DIR --after DIR [--record FILE]      (NIBBLE_DEVICE=lavapipe|swiftshader)
 *
 * Ratios are after over before, of the process's CPU time: a software driver's kernels run there, and other work on the machine
 * does not count. Products are taken by the tier `direct`, which software drivers use.
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { commitOf, LoadWatch, median, writeRecord } from '../shared/record.mjs';

const { values: flags } = parseArgs({
  options: {
    before: { type: 'string' },
    after: { type: 'string' },
    rounds: { type: 'string', default: '15' },
    record: { type: 'string' },
  },
});
if (!flags.before || !flags.after) throw new RangeError('--before DIR and --after DIR: two checkouts, both built');

/** CPU time of a round: long enough that a submit does not matter. */
const LEAST_SECONDS = 0.02;
const [B, S, H, K, D] = [2, 64, 4, 2, 32];
const ROWS = B * S;
const [HIDDEN, FFN, VOCABULARY, RANK] = [128, 384, 1024, 8];
const PRODUCTS = [
  ...['nt', 'nn'].flatMap((op) => [
    [op, ROWS, HIDDEN, HIDDEN],
    [op, ROWS, FFN, HIDDEN],
    [op, ROWS, HIDDEN, FFN],
    [op, ROWS, VOCABULARY, HIDDEN],
    [op, ROWS, RANK, HIDDEN],
    [op, ROWS, HIDDEN, RANK],
  ]),
  ['tn', ROWS, RANK, HIDDEN],
  ['tn', ROWS, HIDDEN, RANK],
];

/** A checkout's own modules, device and kernels: `{ name: { seconds(), free() } }`. */
async function openTree(root) {
  const load = (file) => import(pathToFileURL(path.resolve(root, 'dist', file)).href);
  const [{ GpuAllocator }, { Arena }, { Ledger }, { openDevice, closeDevice }, { makePlan }] = await Promise.all(
    ['gpu/allocator.js', 'gpu/arena.js', 'gpu/ledger.js', 'gpu/node.js', 'gpu/plan.js'].map(load),
  );
  const [{ Program, preparePlan }, { Residents }, { STEP_BYTES }, { Tape }, attention, matmul] = await Promise.all(
    [
      'gpu/program.js',
      'gpu/residents.js',
      'gpu/step-scalars.js',
      'gpu/tape.js',
      'kernels/attention.js',
      'kernels/matmul.js',
    ].map(load),
  );
  const device = await openDevice({ adapter: process.env.NIBBLE_DEVICE ?? 'lavapipe' });
  const allocator = new GpuAllocator(device.gpu, new Ledger());
  const profile = { ...device.profile, tier: 'direct' };

  async function prepare(record) {
    const residents = new Residents(allocator);
    const tensor = (label, elements, dtype = 'f32', usage = 'storage') =>
      residents.tensor({ label, shape: [elements], dtype, category: 'activations', usage });
    const step = tensor('step', STEP_BYTES / 4, 'u32', 'uniform');
    const tape = new Tape({ profile, shaders: device.shaders, step, flags: tensor('flags', 1, 'u32') });
    record(tape, tensor);
    const plan = makePlan('kernel', tape.commands);
    const arena = new Arena(allocator, [plan]);
    const program = await Program.compile(device, preparePlan(plan, allocator), { residents, arena });
    return async (times) => {
      const started = process.cpuUsage();
      const encoder = device.gpu.createCommandEncoder();
      for (let i = 0; i < times; i++) program.encode(encoder);
      device.gpu.queue.submit([encoder.finish()]);
      await device.gpu.queue.onSubmittedWorkDone();
      const { user, system } = process.cpuUsage(started);
      return (user + system) / 1e6 / times;
    };
  }

  const shape = { B, S, H, K, D, window: null, scale: 1 / Math.sqrt(D) };
  const forward = (tape, tensor) => {
    const [q, o] = ['q', 'o'].map((label) => tensor(label, ROWS * H * D));
    const [k, v] = ['k', 'v'].map((label) => tensor(label, ROWS * K * D));
    attention.attentionFwd(tape, { ...shape, q, k, v, o, lse: tensor('lse', ROWS * H) });
  };
  const backward = (tape, tensor) => {
    const [q, o, dO, dq] = ['q', 'o', 'dO', 'dq'].map((label) => tensor(label, ROWS * H * D));
    const [k, v, dk, dv] = ['k', 'v', 'dk', 'dv'].map((label) => tensor(label, ROWS * K * D));
    const [lse, delta] = ['lse', 'delta'].map((label) => tensor(label, ROWS * H));
    attention.attentionBwd(tape, { ...shape, q, k, v, o, lse, dO, delta, dq, dk, dv });
  };
  const product =
    ([op, M, N, depth]) =>
    (tape, tensor) => {
      const [small, wide] = [tensor('x', M * depth), tensor('y', M * N)];
      const w = tensor('w', N * depth);
      const sizes = { M, N, K: depth };
      if (op === 'nt') matmul.matmulNt(tape, { ...sizes, x: small, w, y: wide });
      else if (op === 'nn') matmul.matmulNn(tape, { ...sizes, x: wide, w, y: small });
      else matmul.matmulTn(tape, { ...sizes, d: wide, x: small, y: w });
    };
  const kernels = new Map([
    ['attention, forward', await prepare(forward)],
    ['attention, backward', await prepare(backward)],
  ]);
  for (const call of PRODUCTS) {
    const [op, M, N, depth] = call;
    kernels.set(`matmul ${op}, M ${M}, N ${N}, K ${depth}`, await prepare(product(call)));
  }
  return { kernels, adapter: device.adapter.description, close: () => closeDevice(device) };
}

const trees = { before: await openTree(flags.before), after: await openTree(flags.after) };
const load = new LoadWatch();
const figures = [];
for (const name of trees.before.kernels.keys()) {
  const samples = { before: [], after: [] };
  const once = Math.min(...[await trees.before.kernels.get(name)(1), await trees.before.kernels.get(name)(1)]);
  await trees.after.kernels.get(name)(1);
  const times = Math.max(1, Math.ceil(LEAST_SECONDS / once));
  for (let round = 0; round < Number(flags.rounds); round++)
    for (const side of round % 2 === 0 ? ['before', 'after'] : ['after', 'before'])
      samples[side].push(await trees[side].kernels.get(name)(times));
  load.look();
  const [before, after] = [median(samples.before), median(samples.after)];
  // neighbours in time share what else the machine did
  const paired = median(samples.after.map((seconds, i) => seconds / samples.before[i]));
  const fastest = Math.min(...samples.after) / Math.min(...samples.before);
  const us = (seconds) => (seconds * 1e6).toFixed(0);
  figures.push(
    { what: `${name}: median of paired rounds`, reached: paired, bound: null, unit: 'of before' },
    { what: `${name}: fastest rounds`, reached: fastest, bound: null, unit: 'of before' },
    { what: `${name}: median before`, reached: before * 1e6, bound: null, unit: 'us' },
    { what: `${name}: median after`, reached: after * 1e6, bound: null, unit: 'us' },
  );
  console.log(`${name}: ${paired.toFixed(3)} paired, ${fastest.toFixed(3)} fastest; ${us(before)} us, ${us(after)} us`);
}
const ratios = (ending) => figures.filter(({ what }) => what.endsWith(ending)).map(({ reached }) => reached);
const all = `all ${trees.before.kernels.size}, geometric mean`;
for (const ending of ['median of paired rounds', 'fastest rounds']) {
  const logs = ratios(ending).map(Math.log);
  const reached = Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
  figures.push({ what: `${all}: ${ending}`, reached, bound: null, unit: 'of before' });
  console.log(`${all}: ${ending} ${reached.toFixed(3)}`);
}
const { adapter } = trees.after;
if (flags.record)
  writeRecord(flags.record, {
    ...{ row: 6, title: "Replaced kernels at the quick suite's shapes, CPU time", adapter, load, figures },
    command: 'node bench/performance/kernels-paired.mjs --before DIR --after DIR --record FILE',
    versions: { before: commitOf(flags.before), after: commitOf(flags.after), rounds: flags.rounds },
  });
await trees.before.close();
await trees.after.close();
process.exit(0); // Dawn may keep a thread for a moment
