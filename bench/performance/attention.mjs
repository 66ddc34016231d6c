#!/usr/bin/env node
/**
 * Speed of the attention tiers at given shapes, forward and backward apart: ms, TFLOP/s of the scores that causal attention needs,
 * and the ratio to `direct` in the same run.
 */
import { Machine } from '#dist/gpu/machine.js';
import { obstacle } from '#dist/gpu/tier.js';
import { attentionBwd, attentionFwd, planAttention } from '#dist/kernels/attention.js';
import { qkvOperands } from '#dist/kernels/attention-operands.js';
import { closeDevice } from '#dist/node/device.js';
import { openTunedDevice, secondsOf } from '../shared/device.mjs';
import { count, readOptions, shapes, words } from '../shared/options.mjs';
import { interleaved } from './sampling.mjs';

const USAGE = `usage: node bench/performance/attention.mjs [options]   NIBBLE_DEVICE picks the device
  --shapes BxSxHxKxD,..  sequences, tokens of each, query heads, key/value heads, head dim  (1x128x4x2x32)
  --tiers a,b            direct, simt, subgroup_matrix  (all; one that the device cannot do is left out, and said)
  --documents N          packs the row with documents of N tokens  (0: one per row)
  --window N             keys that a query sees at most  (0: all)
  --rounds N             the median of so many or of those that 3 s have room for, tiers interleaved  (7)
  --json                 an object a line: what the device is, then the rows as they come`;
const flags = readOptions(USAGE, {
  shapes: { type: 'string', default: '1x128x4x2x32' },
  tiers: { type: 'string', default: 'direct,simt,subgroup_matrix' },
  documents: { type: 'string', default: '0' },
  window: { type: 'string', default: '0' },
  rounds: { type: 'string', default: '7' },
  json: { type: 'boolean', default: false },
});
const [documents, window] = [count('documents', flags.documents, 0), count('window', flags.window, 0)];
const rounds = count('rounds', flags.rounds);
const tiers = words('tiers', flags.tiers, /** @type {const} */ (['direct', 'simt', 'subgroup_matrix']));
/** @typedef {{ B: number, S: number, H: number, K: number, D: number }} Shape */
/** @type {Shape[]} */
const sizes = shapes('shapes', flags.shapes, 'BxSxHxKxD').map(([B, S, H, K, D]) => ({ B, S, H, K, D }));

/** @typedef {import('#dist/gpu/recorder.js').Recorder} Recorder */
/** @typedef {'forward' | 'backward'} Direction */
/** @type {readonly Direction[]} */
const DIRECTIONS = ['forward', 'backward'];

const device = await openTunedDevice();
const { profile } = device;

/**
 * Scores that are seen: for each query the keys of its window and document up to itself.
 * @param {Shape} shape
 */
function seen({ B, S, H }) {
  let sum = 0;
  for (let s = 0; s < S; s++) {
    const start = documents === 0 ? 0 : s - (s % documents);
    sum += s + 1 - Math.max(start, window === 0 ? 0 : s + 1 - window);
  }
  return B * H * sum;
}

/** Products of 2 D flop a score: two forward; backward five, of which the two of dq and of dk and dv repeat two. */
const FLOP_BY_SCORE = { forward: 4, backward: 10 };

/**
 * @param {number} elements
 * @param {'f32' | 'u32'} dtype
 * @param {(i: number) => number} at value of a u32
 */
function pattern(elements, dtype, at) {
  if (dtype === 'u32') return Uint32Array.from({ length: elements }, (_, i) => at(i));
  return Float32Array.from({ length: elements }, (_, i) => (((i * 7919) % 17) - 8) / 8);
}

/**
 * Buffers, and a compiled program for each direction that ran once.
 * @param {import('#dist/gpu/device-profile.js').Tier} tier
 * @param {Shape} shape
 */
async function prepare(tier, shape) {
  const { B, S, H, K, D } = shape;
  const computeDtype = tier === 'subgroup_matrix' ? 'f16' : 'f32';
  const chosen = planAttention({ ...profile, tier }, computeDtype, D);
  for (const pass of [chosen.forward, chosen.backward]) if (pass.tier !== tier) return { skipped: pass.reason };
  const machine = Machine.on(device, { ...profile, tier });
  /** @type {(label: string, elements: number, dtype?: 'f32' | 'u32', at?: (i: number) => number) => import('#dist/gpu/tensor.js').Tensor} */
  const tensor = (label, elements, dtype = 'f32', at = () => 0) => {
    const made = machine.residents.tensor({ label, shape: [elements], dtype, category: 'activations' });
    machine.write(made, pattern(elements, dtype, at));
    return made;
  };
  const [query, key, heads] = [B * S * H * D, B * S * K * D, B * S * H];
  const start = (/** @type {number} */ i) => (i % S) - ((i % S) % documents);
  const packed = documents > 0 && {
    documents: {
      starts: tensor('starts', B * S, 'u32', start),
      ends: tensor('ends', B * S, 'u32', (i) => Math.min(S, start(i) + documents)),
    },
  };
  const given = { q: tensor('q', query), k: tensor('k', key), v: tensor('v', key) };
  const onMatrices = tier === 'subgroup_matrix';
  const half = (/** @type {string} */ label, /** @type {number} */ elements) =>
    machine.residents.tensor({ label, shape: [elements], dtype: 'f16', category: 'activations' });
  const inputs = onMatrices ? { q: half('q16', query), k: half('k16', key), v: half('v16', key) } : given;
  const call = {
    ...shape,
    Tq: S,
    Tk: S,
    ...packed,
    computeDtype: /** @type {'f16' | 'f32'} */ (computeDtype),
    window: window === 0 ? null : window,
    scale: 1 / Math.sqrt(D),
    ...inputs,
    o: tensor('o', query),
    lse: tensor('lse', heads),
  };
  const grads = {
    dO: tensor('dO', query),
    delta: tensor('delta', heads),
    dq: tensor('dq', query),
    dk: tensor('dk', key),
    dv: tensor('dv', key),
  };
  const record = {
    forward: (/** @type {Recorder} */ rec) => {
      const to = { qOut: inputs.q, kOut: inputs.k, vOut: inputs.v };
      if (onMatrices) qkvOperands(rec, { ...shape, T: B * S, turn: null, ...given, ...to });
      attentionFwd(rec, call);
    },
    backward: (/** @type {Recorder} */ rec) => attentionBwd(rec, { ...call, ...grads }),
  };
  machine.prepare(
    DIRECTIONS.map((name) => {
      const rec = machine.recorder();
      record[name](rec);
      return { name, commands: rec.commands };
    }),
  );
  await machine.compile();
  /** @param {Direction} direction @param {number} [repeats] */
  const seconds = (direction, repeats) => secondsOf(machine, (submission) => submission.run(direction), repeats);
  // software drivers compile at the first dispatch
  const first = { forward: 0, backward: 0 };
  for (const direction of DIRECTIONS)
    first[direction] = 1000 * (await device.guarded('first run', () => seconds(direction)));
  const free = () => machine.destroy();
  return { seconds, free, firstRunMs: first };
}

/** @typedef {{ shape: string, direction: Direction, tier: string, ms: number, tflops: number, ratio: number | null, firstRunMs: number, samples: number }} Row */

/** @param {Row} row */
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
if (flags.json) console.log(JSON.stringify({ adapter: device.info.description, documents, window, rounds }));
else
  console.log(
    `${device.info.description}; median of up to ${rounds}, tiers interleaved\nBxSxHxKxD            direction tier                   ms    TFLOP/s  x direct  first run ms`,
  );
for (const shape of sizes) {
  const ready = new Map();
  for (const tier of tiers) {
    const why = obstacle(profile, tier);
    const made = why === null ? await prepare(tier, shape) : { skipped: why };
    if ('skipped' in made) console.error(`left out: ${tier}: ${made.skipped}`);
    else ready.set(tier, made);
  }
  for (const direction of DIRECTIONS) {
    const arms = new Map(
      [...ready].map(([tier, { seconds }]) => [
        tier,
        (/** @type {number | undefined} */ repeats) => seconds(direction, repeats),
      ]),
    );
    const measured = await interleaved(arms, rounds);
    const direct = measured.get('direct')?.seconds ?? null;
    for (const [tier, { seconds, samples }] of measured) {
      const row = {
        shape: Object.values(shape).join('x'),
        direction,
        tier,
        ms: seconds * 1000,
        tflops: (FLOP_BY_SCORE[direction] * shape.D * seen(shape)) / seconds / 1e12,
        ratio: direct === null ? null : direct / seconds,
        firstRunMs: ready.get(tier).firstRunMs[direction],
        samples,
      };
      console.log(flags.json ? JSON.stringify(row) : rowText(row));
    }
  }
  for (const { free } of ready.values()) free();
}
await closeDevice(device);
