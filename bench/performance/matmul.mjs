#!/usr/bin/env node
/** Speed of the matmul tiers at given shapes: GFLOP/s, and the ratio to `direct` in the same run. */
import { obstacle } from '#dist/gpu/tier.js';
import { closeDevice } from '#dist/node/device.js';
import { prepareProduct } from '#dist/tune/product.js';
import { openTunedDevice } from '../shared/device.mjs';
import { count, readOptions, shapes, words } from '../shared/options.mjs';
import { interleaved } from './sampling.mjs';

const USAGE = `usage: node bench/performance/matmul.mjs [options]   NIBBLE_DEVICE picks the device
  --shapes MxNxK,..  (256x256x256,256x16x1024)
  --ops a,b          nt, nn, tn  (all)
  --tiers a,b        direct, simt, subgroup_matrix  (all that the device can do)
  --dtypes a,b       of the weight: f32, f16  (both, where the device has f16)
  --rounds N         the median of so many or of those that 3 s have room for, tiers interleaved  (7)
  --json             an object a line: what the device is, then the rows as they come, so that a run that is ended keeps its rows`;
const flags = readOptions(USAGE, {
  shapes: { type: 'string', default: '256x256x256,256x16x1024' },
  ops: { type: 'string', default: 'nt,nn,tn' },
  tiers: { type: 'string', default: 'direct,simt,subgroup_matrix' },
  dtypes: { type: 'string', default: 'f32,f16' },
  rounds: { type: 'string', default: '7' },
  json: { type: 'boolean', default: false },
});
const rounds = count('rounds', flags.rounds);
const sizes = shapes('shapes', flags.shapes, 'MxNxK');
const ops = words('ops', flags.ops, /** @type {const} */ (['nt', 'nn', 'tn']));
const tiers = words('tiers', flags.tiers, /** @type {const} */ (['direct', 'simt', 'subgroup_matrix']));
const dtypes = words('dtypes', flags.dtypes, /** @type {const} */ (['f32', 'f16']));

/** @typedef {{ op: string, shape: string, dtype: string, tier: string, ms: number, gflops: number, ratio: number | null, samples: number }} Row */

/** @param {Row} row */
const rowText = ({ op, shape, dtype, tier, ms, gflops, ratio }) =>
  [
    op.padEnd(3),
    shape.padEnd(16),
    dtype.padEnd(4),
    tier.padEnd(16),
    ms.toFixed(2).padStart(8),
    gflops.toFixed(1).padStart(9),
    (ratio?.toFixed(2) ?? '–').padStart(9),
  ].join(' ');

const device = await openTunedDevice();
const { profile } = device;
const { description } = device.info;
if (flags.json)
  console.log(JSON.stringify({ adapter: description, software: profile.software, tiles: profile.tiles ?? {}, rounds }));
else
  console.log(
    `${description}; median of up to ${rounds}, tiers interleaved\nop  MxNxK            w    tier                   ms   GFLOP/s  x direct`,
  );

/** @param {'nt' | 'nn' | 'tn'} op @param {number[]} shape @param {'f32' | 'f16'} dtype @returns {Promise<Row[]>} a row a tier */
async function measure(op, [M, N, K], dtype) {
  // tensor cores multiply f16 only
  const able = tiers.filter(
    (tier) => obstacle(profile, tier) === null && (tier !== 'subgroup_matrix' || dtype === 'f16'),
  );
  const ready = new Map();
  for (const tier of able) {
    const product = await prepareProduct(device, { ...profile, tier }, { op, M, N, K, dtype });
    product.fillWithNoise();
    ready.set(tier, product);
  }
  const measured = await interleaved(new Map([...ready].map(([tier, { seconds }]) => [tier, seconds])), rounds);
  for (const { free } of ready.values()) free();
  const direct = measured.get('direct')?.seconds ?? null;
  return [...measured].map(([tier, { seconds, samples }]) => ({
    op,
    shape: `${M}x${N}x${K}`,
    dtype,
    tier,
    ms: seconds * 1000,
    gflops: (2 * M * N * K) / seconds / 1e9,
    ratio: direct === null ? null : direct / seconds,
    samples,
  }));
}

for (const op of ops)
  for (const shape of sizes)
    for (const dtype of dtypes) {
      if (dtype === 'f16' && (op === 'tn' || !profile.shaderF16)) continue;
      for (const row of await measure(op, shape, dtype)) console.log(flags.json ? JSON.stringify(row) : rowText(row));
    }
await closeDevice(device);
