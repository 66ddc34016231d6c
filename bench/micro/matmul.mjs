/** Speed of the matmul tiers at given shapes: GFLOP/s, and the ratio to `direct` in the same run. `npm run build` first. */
import { parseArgs } from 'node:util';
import { GpuAllocator } from '../../dist/gpu/allocator.js';
import { Arena } from '../../dist/gpu/arena.js';
import { Ledger } from '../../dist/gpu/ledger.js';
import { closeDevice, openDevice } from '../../dist/gpu/node.js';
import { makePlan } from '../../dist/gpu/plan.js';
import { Program, preparePlan } from '../../dist/gpu/program.js';
import { Residents } from '../../dist/gpu/residents.js';
import { Tape } from '../../dist/gpu/tape.js';
import { obstacle } from '../../dist/gpu/tier.js';
import { matmulNn, matmulNt, matmulTn } from '../../dist/kernels/matmul.js';

const { values: flags } = parseArgs({
  options: {
    shapes: { type: 'string', default: '256x256x256,256x16x1024' },
    ops: { type: 'string', default: 'nt,nn,tn' },
    tiers: { type: 'string', default: 'direct,simt,subgroup_matrix' },
    dtypes: { type: 'string', default: 'f32,f16' },
    rounds: { type: 'string', default: '7' },
    json: { type: 'boolean', default: false },
  },
});
const OPS = { nt: matmulNt, nn: matmulNn, tn: matmulTn };
const shapes = flags.shapes.split(',').map((text) => {
  const sizes = text.split('x').map(Number);
  if (sizes.length !== 3 || !sizes.every((n) => Number.isInteger(n) && n > 0))
    throw new RangeError(`--shapes: ${text} is not MxNxK, such as 4096x4096x4096`);
  return sizes;
});

const device = await openDevice({ adapter: process.env.NIBBLE_ADAPTER ?? 'auto', unchecked: true });
const { profile } = device;

/** A product ready to run: `seconds()` is the time of one, from submit to done. */
async function prepare(op, [M, N, K], dtype, tier) {
  const allocator = new GpuAllocator(device.gpu, new Ledger());
  const residents = new Residents(allocator);
  const tensor = (label, elements, kind = 'f32') =>
    residents.tensor({ label, shape: [elements], dtype: kind, category: 'activations' });
  const step = residents.tensor({ label: 'step', shape: [8], dtype: 'u32', category: 'staging', usage: 'uniform' });
  const tape = new Tape({
    profile: { ...profile, tier },
    shaders: device.shaders,
    step,
    flags: tensor('flags', 1, 'u32'),
  });
  const call = { M, N, K };
  if (op === 'nt')
    matmulNt(tape, { ...call, x: tensor('x', M * K), w: tensor('w', N * K, dtype), y: tensor('y', M * N) });
  if (op === 'nn')
    matmulNn(tape, { ...call, x: tensor('x', M * N), w: tensor('w', N * K, dtype), y: tensor('y', M * K) });
  if (op === 'tn') matmulTn(tape, { ...call, d: tensor('d', M * N), x: tensor('x', M * K), y: tensor('y', N * K) });
  const plan = makePlan('bench', tape.commands);
  const arena = new Arena(allocator, [plan]);
  const prepared = preparePlan(plan, allocator);
  const program = await Program.compile(device, prepared, { residents, arena });
  const seconds = async () => {
    const started = performance.now();
    program.run();
    await device.gpu.queue.onSubmittedWorkDone();
    return (performance.now() - started) / 1000;
  };
  // the first dispatch compiles on software drivers
  await device.guarded('warm-up', seconds);
  const free = () => {
    arena.destroy();
    residents.destroy();
    allocator.free(prepared.params);
  };
  return { seconds, free };
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const rows = [];
for (const op of flags.ops.split(',')) {
  if (!(op in OPS)) throw new RangeError(`--ops: ${op} is none of ${Object.keys(OPS).join(', ')}`);
  for (const shape of shapes) {
    for (const dtype of flags.dtypes.split(',')) {
      if (dtype === 'f16' && (op === 'tn' || !profile.shaderF16)) continue;
      const tiers = flags.tiers.split(',').filter((tier) => obstacle(profile, tier) === null);
      // tensor cores multiply f16 only
      const arms = tiers.filter((tier) => tier !== 'subgroup_matrix' || dtype === 'f16');
      const ready = new Map();
      for (const tier of arms) ready.set(tier, await prepare(op, shape, dtype, tier));
      const times = new Map(arms.map((tier) => [tier, []]));
      for (let round = 0; round < Number(flags.rounds); round++)
        for (const tier of arms) times.get(tier).push(await ready.get(tier).seconds());
      for (const { free } of ready.values()) free();
      const flop = 2 * shape.reduce((p, n) => p * n, 1);
      const direct = times.has('direct') ? median(times.get('direct')) : null;
      for (const tier of arms) {
        const seconds = median(times.get(tier));
        const ratio = direct === null ? null : direct / seconds;
        rows.push({ op, shape: shape.join('x'), dtype, tier, ms: seconds * 1000, gflops: flop / seconds / 1e9, ratio });
      }
    }
  }
}
await closeDevice(device);

if (flags.json)
  console.log(JSON.stringify({ adapter: device.adapter.description, rounds: Number(flags.rounds), rows }, null, 2));
else {
  console.log(`${device.adapter.description}; median of ${flags.rounds}, tiers interleaved`);
  console.log('op  MxNxK            w    tier                   ms   GFLOP/s  x direct');
  for (const { op, shape, dtype, tier, ms, gflops, ratio } of rows)
    console.log(
      [
        op.padEnd(3),
        shape.padEnd(16),
        dtype.padEnd(4),
        tier.padEnd(16),
        ms.toFixed(2).padStart(8),
        gflops.toFixed(1).padStart(9),
        (ratio?.toFixed(2) ?? '–').padStart(9),
      ].join(' '),
    );
}
