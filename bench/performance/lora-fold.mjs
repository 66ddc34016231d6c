#!/usr/bin/env node
/** A layer's product with its LoRA term: summed on the way as a second source, against a product of its own that is added. */
import { median, min as smallest } from 'simple-statistics';
import { obstacle } from '#dist/gpu/tier.js';
import { closeDevice } from '#dist/node/device.js';
import { prepareProduct } from '#dist/tune/product.js';
import { openTunedDevice } from '../shared/device.mjs';
import { count, readOptions, shapes } from '../shared/options.mjs';
import { calibrate } from './sampling.mjs';

const USAGE = `usage: node bench/performance/lora-fold.mjs [options]   NIBBLE_DEVICE picks the device
  --shapes MxNxK,..  (256x512x512,256x1024x256)
  --rank N           of the LoRA term  (16)
  --rounds N         the median of so many pairs or of those that 3 s have room for  (9)
  --json`;
const flags = readOptions(USAGE, {
  shapes: { type: 'string', default: '256x512x512,256x1024x256' },
  rank: { type: 'string', default: '16' },
  rounds: { type: 'string', default: '9' },
  json: { type: 'boolean', default: false },
});
const sizes = shapes('shapes', flags.shapes, 'MxNxK');
const [r, rounds] = [count('rank', flags.rank), count('rounds', flags.rounds)];

const device = await openTunedDevice();
const { profile } = device;
/** @typedef {readonly [tier: 'simt' | 'subgroup_matrix', dtype: 'f32' | 'f16']} Kind */
/** The tiers that fold, each with the weights it takes. @type {readonly Kind[]} */
const KINDS = [
  ['simt', 'f32'],
  ['simt', 'f16'],
  ['subgroup_matrix', 'f16'],
];
const kinds = KINDS.filter(
  ([tier, dtype]) => obstacle(profile, tier) === null && (dtype === 'f32' || profile.shaderF16),
);

/** @param {'nt' | 'nn'} op @param {number[]} shape @param {Kind} kind */
async function pair(op, [M, N, K], [tier, dtype]) {
  const arms = [];
  for (const folded of [false, true]) {
    const product = await prepareProduct(device, { ...profile, tier }, { op, M, N, K, dtype, lora: { r, folded } });
    product.fillWithNoise();
    arms.push({ product, times: /** @type {number[]} */ ([]), ...(await calibrate(product.seconds, rounds)) });
  }
  const pairs = smallest(arms.map((arm) => arm.rounds));
  for (let round = 0; round < pairs; round++)
    for (const { product, repeats, times } of arms) times.push(await product.seconds(repeats));
  for (const { product } of arms) product.free();
  const [separate, folded] = arms.map(({ times }) => times);
  return {
    op,
    shape: `${M}x${N}x${K}`,
    rank: r,
    tier,
    dtype,
    separateMs: median(separate) * 1000,
    foldedMs: median(folded) * 1000,
    ratio: median(folded.map((seconds, i) => seconds / separate[i])),
  };
}

const rows = [];
for (const op of /** @type {const} */ (['nt', 'nn']))
  for (const shape of sizes) for (const kind of kinds) rows.push(await pair(op, shape, kind));
await closeDevice(device);

const { description } = device.info;
if (flags.json) {
  console.log(JSON.stringify({ adapter: description, software: profile.software, rounds, rows }, null, 2));
} else {
  console.log(`${description}; rank ${r}, median of ${rounds} paired rounds`);
  for (const { op, shape, tier, dtype, separateMs, foldedMs, ratio } of rows)
    console.log(
      `${op} ${shape.padEnd(16)} ${tier} ${dtype}: ${separateMs.toFixed(2)} ms separate, ${foldedMs.toFixed(2)} ms folded, ${ratio.toFixed(2)} of it`,
    );
}
