/**
 * Speed of the attention tiers at given shapes, forward and backward apart: ms, TFLOP/s of the scores that causal attention needs,
 * and the ratio to `direct` in the same run. `npm run build` first.
 */
import { parseArgs } from 'node:util';
import { GpuAllocator } from '#dist/gpu/allocator.js';
import { Arena } from '#dist/gpu/arena.js';
import { Ledger } from '#dist/gpu/ledger.js';
import { makePlan } from '#dist/gpu/plan.js';
import { Program, preparePlan } from '#dist/gpu/program.js';
import { Residents } from '#dist/gpu/residents.js';
import { Tape } from '#dist/gpu/tape.js';
import { obstacle } from '#dist/gpu/tier.js';
import { upload } from '#dist/gpu/transfer.js';
import { attentionBwd, attentionFwd, planAttention } from '#dist/kernels/attention.js';
import { closeDevice, openDevice } from '#dist/node/device.js';
import { STEP_BYTES } from '#dist/train/step-scalars.js';
import { interleaved } from './sampling.mjs';

const USAGE = `usage: node bench/performance/attention.mjs [options]   NIBBLE_DEVICE picks the device
  --shapes BxSxHxKxD,..  sequences, tokens of each, query heads, key/value heads, head dim  (1x128x4x2x32)
  --tiers a,b            direct, simt, subgroup_matrix  (all; one that the device cannot do is left out, and said)
  --documents N          packs the row with documents of N tokens  (0: one per row)
  --window N             keys that a query sees at most  (0: all)
  --rounds N             the median of so many or of those that 3 s have room for, tiers interleaved  (7)
  --json                 an object a line: what the device is, then the rows as they come`;
const { values: flags } = parseArgs({
  options: {
    shapes: { type: 'string', default: '1x128x4x2x32' },
    tiers: { type: 'string', default: 'direct,simt,subgroup_matrix' },
    documents: { type: 'string', default: '0' },
    window: { type: 'string', default: '0' },
    rounds: { type: 'string', default: '7' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (flags.help) {
  console.log(USAGE);
  process.exit(0);
}
const count = (name) => {
  const value = Number(flags[name]);
  if (!Number.isInteger(value) || value < 0) throw new RangeError(`--${name}: ${flags[name]} is no count`);
  return value;
};
const [documents, window, rounds] = ['documents', 'window', 'rounds'].map(count);
const shapes = flags.shapes.split(',').map((text) => {
  const sizes = text.split('x').map(Number);
  if (sizes.length !== 5 || !sizes.every((n) => Number.isInteger(n) && n > 0))
    throw new RangeError(`--shapes: ${text} is not BxSxHxKxD, such as 1x4096x32x8x128`);
  const [B, S, H, K, D] = sizes;
  return { B, S, H, K, D };
});

const device = await openDevice({ adapter: process.env.NIBBLE_DEVICE ?? 'auto', unchecked: true });
const { profile } = device;

/** Scores that are seen: of each query the keys of its window and document up to itself. */
function seen({ B, S, H }) {
  let sum = 0;
  for (let s = 0; s < S; s++) {
    const start = documents === 0 ? 0 : s - (s % documents);
    sum += s + 1 - Math.max(start, window === 0 ? 0 : s + 1 - window);
  }
  return B * H * sum;
}

/** Products of 2 D flop a score: two forward; backward five, of which the two of dq and of dk and dv repeat two. */
const flopOf = { forward: (shape) => 4 * shape.D * seen(shape), backward: (shape) => 10 * shape.D * seen(shape) };

function pattern(elements, dtype, at) {
  if (dtype === 'u32') return Uint32Array.from({ length: elements }, at);
  return Float32Array.from({ length: elements }, (_, i) => (((i * 7919) % 17) - 8) / 8);
}

/** Buffers, and a compiled program for each direction that ran once. */
async function prepare(tier, shape) {
  const { B, S, H, K, D } = shape;
  const computeDtype = tier === 'subgroup_matrix' ? 'f16' : 'f32';
  const plan = planAttention({ ...profile, tier }, computeDtype, D);
  if (plan.tier !== tier) return { skipped: plan.reason };
  const allocator = new GpuAllocator(device.gpu, new Ledger());
  const residents = new Residents(allocator);
  const tensor = (label, elements, { dtype = 'f32', usage, at } = {}) => {
    const made = residents.tensor({
      label,
      shape: [elements],
      dtype,
      category: 'activations',
      ...(usage && { usage }),
    });
    if (usage === undefined) upload(device, residents.allocationOf(made.storage), 0, pattern(elements, dtype, at));
    return made;
  };
  const flagsWord = tensor('flags', 1, { dtype: 'u32', at: () => 0 });
  const step = tensor('step', STEP_BYTES / 4, { dtype: 'u32', usage: 'uniform' });
  const [query, key, heads] = [B * S * H * D, B * S * K * D, B * S * H];
  const start = (i) => (i % S) - ((i % S) % documents);
  const packed = documents > 0 && {
    documents: {
      starts: tensor('starts', B * S, { dtype: 'u32', at: (_, i) => start(i) }),
      ends: tensor('ends', B * S, { dtype: 'u32', at: (_, i) => Math.min(S, start(i) + documents) }),
    },
  };
  const call = {
    ...{ ...shape, computeDtype, window: window === 0 ? null : window, scale: 1 / Math.sqrt(D), ...packed },
    ...{ q: tensor('q', query), k: tensor('k', key), v: tensor('v', key) },
    ...{ o: tensor('o', query), lse: tensor('lse', heads) },
  };
  const grads = {
    ...{ dO: tensor('dO', query), delta: tensor('delta', heads) },
    ...{ dq: tensor('dq', query), dk: tensor('dk', key), dv: tensor('dv', key) },
  };
  const record = {
    forward: (tape) => attentionFwd(tape, call),
    backward: (tape) => attentionBwd(tape, { ...call, ...grads }),
  };
  const kept = [];
  const programs = {};
  const compileMs = {};
  for (const [direction, write] of Object.entries(record)) {
    const tape = new Tape({ profile: { ...profile, tier }, shaders: device.shaders, step, flags: flagsWord });
    write(tape);
    const made = makePlan(direction, tape.commands);
    const arena = new Arena(allocator, [made]);
    const prepared = preparePlan(made, allocator);
    programs[direction] = await Program.compile(device, prepared, { residents, arena });
    kept.push(
      () => arena.destroy(),
      () => allocator.free(prepared.params),
    );
  }
  const seconds = async (direction, repeats = 1) => {
    const started = performance.now();
    const encoder = device.gpu.createCommandEncoder({ label: direction });
    for (let i = 0; i < repeats; i++) programs[direction].encode(encoder);
    device.gpu.queue.submit([encoder.finish()]);
    await device.gpu.queue.onSubmittedWorkDone();
    return (performance.now() - started) / 1000 / repeats;
  };
  // software drivers compile at the first dispatch
  for (const direction of Object.keys(record))
    compileMs[direction] = 1000 * (await device.guarded('first run', () => seconds(direction)));
  const free = () => {
    for (const drop of kept) drop();
    residents.destroy();
  };
  return { seconds, free, compileMs };
}

const rowText = ({ shape, direction, tier, ms, tflops, ratio, firstRunMs }) =>
  [
    shape.padEnd(20),
    direction.padEnd(9),
    tier.padEnd(16),
    ms.toFixed(2).padStart(8),
    tflops.toFixed(4).padStart(10),
    (ratio?.toFixed(2) ?? '–').padStart(9),
    firstRunMs.toFixed(0).padStart(13),
  ].join(' ');
if (flags.json) console.log(JSON.stringify({ adapter: device.adapter.description, documents, window, rounds }));
else
  console.log(
    `${device.adapter.description}; median of up to ${rounds}, tiers interleaved\nBxSxHxKxD            direction tier                   ms    TFLOP/s  x direct  first run ms`,
  );
for (const shape of shapes) {
  const ready = new Map();
  for (const tier of flags.tiers.split(',')) {
    const why = obstacle(profile, tier);
    const made = why === null ? await prepare(tier, shape) : { skipped: why };
    if (made.skipped === undefined) ready.set(tier, made);
    else console.error(`left out: ${tier}: ${made.skipped}`);
  }
  for (const direction of ['forward', 'backward']) {
    const arms = [...ready].map(([tier, { seconds }]) => [tier, (repeats) => seconds(direction, repeats)]);
    const measured = await interleaved(new Map(arms), rounds);
    const direct = measured.get('direct')?.seconds ?? null;
    for (const [tier, { seconds, samples }] of measured) {
      const row = {
        ...{ shape: Object.values(shape).join('x'), direction, tier, ms: seconds * 1000 },
        tflops: flopOf[direction](shape) / seconds / 1e12,
        ratio: direct === null ? null : direct / seconds,
        ...{ firstRunMs: ready.get(tier).compileMs[direction], samples },
      };
      console.log(flags.json ? JSON.stringify(row) : rowText(row));
    }
  }
  for (const { free } of ready.values()) free();
}
await closeDevice(device);
