/**
 * A layer's product with its LoRA term: summed on the way as a second source, against a product of its own that is added.
 * `npm run build` first; `node bench/performance/lora-fold.mjs [--json] [--shapes MxNxK,...] [--rank 16]`.
 */
import { parseArgs } from 'node:util';
import { obstacle } from '#dist/gpu/tier.js';
import { closeDevice } from '#dist/node/device.js';
import { prepareProduct } from '#dist/tune/product.js';
import { median } from '../shared/record.mjs';
import { openTunedDevice, productShapes } from './products.mjs';
import { calibrate } from './sampling.mjs';

const { values: flags } = parseArgs({
  options: {
    shapes: { type: 'string', default: '256x512x512,256x1024x256' },
    rank: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '9' },
    json: { type: 'boolean', default: false },
  },
});
const shapes = productShapes(flags.shapes);
const r = Number(flags.rank);
if (!Number.isInteger(r) || r < 1) throw new RangeError(`--rank: ${flags.rank} is no rank`);

const device = await openTunedDevice();
const { profile } = device;
/** The tiers that fold, each with the weights it takes. */
const kinds = [
  ['simt', 'f32'],
  ['simt', 'f16'],
  ['subgroup_matrix', 'f16'],
].filter(([tier, dtype]) => obstacle(profile, tier) === null && (dtype === 'f32' || profile.shaderF16));

async function pair(op, [M, N, K], [tier, dtype]) {
  const arms = [];
  for (const folded of [false, true]) {
    const product = await prepareProduct(device, { ...profile, tier }, { op, M, N, K, dtype, lora: { r, folded } });
    product.fillWithNoise();
    arms.push({ product, times: [], ...(await calibrate(product.seconds, Number(flags.rounds))) });
  }
  const rounds = Math.min(...arms.map((arm) => arm.rounds));
  for (let round = 0; round < rounds; round++)
    for (const { product, repeats, times } of arms) times.push(await product.seconds(repeats));
  for (const { product } of arms) product.free();
  const [separate, folded] = arms.map(({ times }) => times);
  return {
    ...{ op, shape: `${M}x${N}x${K}`, rank: r, tier, dtype },
    separateMs: median(separate) * 1000,
    foldedMs: median(folded) * 1000,
    ratio: median(folded.map((seconds, i) => seconds / separate[i])),
  };
}

const rows = [];
for (const op of ['nt', 'nn'])
  for (const shape of shapes) for (const kind of kinds) rows.push(await pair(op, shape, kind));
await closeDevice(device);

if (flags.json) {
  const { description } = device.adapter;
  console.log(
    JSON.stringify({ adapter: description, software: profile.software, rounds: Number(flags.rounds), rows }, null, 2),
  );
} else {
  console.log(`${device.adapter.description}; rank ${r}, median of ${flags.rounds} paired rounds`);
  for (const { op, shape, tier, dtype, separateMs, foldedMs, ratio } of rows)
    console.log(
      `${op} ${shape.padEnd(16)} ${tier} ${dtype}: ${separateMs.toFixed(2)} ms separate, ${foldedMs.toFixed(2)} ms folded, ${ratio.toFixed(2)} of it`,
    );
}
