#!/usr/bin/env node
/**
 * Attention and matrix products of two built checkouts at the quick suite's shapes, in one process and in turns:
 *
 *   node bench/micro/kernels-paired.mjs --before DIR --after DIR [--record FILE]      (NIBBLE_DEVICE=lavapipe|swiftshader)
 *
 * Ratios are after over before, of the process's CPU time: a software driver's kernels run there, and other work on the machine
 * does not count. Products are taken by the tier `direct`, which software drivers use.
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { commitOf, LoadWatch, median, writeRecord } from './record.mjs';

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
  const [{ Machine }, { openDevice, closeDevice }, attention, matmul] = await Promise.all(
    ['gpu/machine.js', 'node/device.js', 'kernels/attention.js', 'kernels/matmul.js'].map(load),
  );
  const device = await openDevice({ device: process.env.NIBBLE_DEVICE ?? 'lavapipe' });
  const profile = { ...device.profile, tier: 'direct' };

  async function prepare(record) {
    const machine = Machine.on(device, profile);
    const tensor = (label, elements) =>
      machine.residents.tensor({ label, shape: [elements], dtype: 'f32', category: 'activations' });
    const rec = machine.recorder();
    record(rec, tensor);
    machine.prepare([{ name: 'kernel', commands: rec.commands }]);
    await machine.compile();
    return async (times) => {
      const started = process.cpuUsage();
      machine.submission('kernel').run('kernel', times).submit();
      await device.gpu.queue.onSubmittedWorkDone();
      const { user, system } = process.cpuUsage(started);
      return (user + system) / 1e6 / times;
    };
  }

  const shape = { B, Tq: S, Tk: S, H, K, D, window: null, scale: 1 / Math.sqrt(D) };
  const forward = (rec, tensor) => {
    const [q, o] = ['q', 'o'].map((label) => tensor(label, ROWS * H * D));
    const [k, v] = ['k', 'v'].map((label) => tensor(label, ROWS * K * D));
    attention.attentionFwd(rec, { ...shape, q, k, v, o, lse: tensor('lse', ROWS * H) });
  };
  const backward = (rec, tensor) => {
    const [q, o, dO, dq] = ['q', 'o', 'dO', 'dq'].map((label) => tensor(label, ROWS * H * D));
    const [k, v, dk, dv] = ['k', 'v', 'dk', 'dv'].map((label) => tensor(label, ROWS * K * D));
    const [lse, delta] = ['lse', 'delta'].map((label) => tensor(label, ROWS * H));
    attention.attentionBwd(rec, { ...shape, q, k, v, o, lse, dO, delta, dq, dk, dv });
  };
  const product =
    ([op, M, N, depth]) =>
    (rec, tensor) => {
      const [small, wide] = [tensor('x', M * depth), tensor('y', M * N)];
      const w = tensor('w', N * depth);
      const sizes = { M, N, K: depth };
      if (op === 'nt') matmul.matmulNt(rec, { ...sizes, x: small, w, y: wide });
      else if (op === 'nn') matmul.matmulNn(rec, { ...sizes, x: wide, w, y: small });
      else matmul.matmulTn(rec, { ...sizes, d: wide, x: small, y: w });
    };
  const kernels = new Map([
    ['attention, forward', await prepare(forward)],
    ['attention, backward', await prepare(backward)],
  ]);
  for (const call of PRODUCTS) {
    const [op, M, N, depth] = call;
    kernels.set(`matmul ${op}, M ${M}, N ${N}, K ${depth}`, await prepare(product(call)));
  }
  return { kernels, adapter: device.info.description, close: () => closeDevice(device) };
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
    command: 'node bench/micro/kernels-paired.mjs --before DIR --after DIR --record FILE',
    versions: { before: commitOf(flags.before), after: commitOf(flags.after), rounds: flags.rounds },
  });
await trees.before.close();
await trees.after.close();
process.exit(0); // Dawn may keep a thread for a moment
