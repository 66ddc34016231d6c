/**
 * Speed of the matmul tiers at given shapes: GFLOP/s, and the ratio to `direct` in the same run. `npm run build` first. --json prints
 * an object a line, what the device is first and then the rows as they come, so that a run that is ended keeps its rows.
 */
import { parseArgs } from 'node:util';
import { obstacle } from '#dist/gpu/tier.js';
import { closeDevice } from '#dist/node/device.js';
import { prepareProduct } from '#dist/tune/product.js';
import { openTunedDevice, productShapes } from './products.mjs';
import { interleaved } from './sampling.mjs';

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
const OPS = ['nt', 'nn', 'tn'];
const shapes = productShapes(flags.shapes);

const device = await openTunedDevice();
const { profile } = device;

const rounds = Number(flags.rounds);
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
const { description } = device.adapter;
if (flags.json)
  console.log(JSON.stringify({ adapter: description, software: profile.software, tiles: profile.tiles ?? {}, rounds }));
else
  console.log(
    `${description}; median of up to ${rounds}, tiers interleaved\nop  MxNxK            w    tier                   ms   GFLOP/s  x direct`,
  );
for (const op of flags.ops.split(',')) {
  if (!OPS.includes(op)) throw new RangeError(`--ops: ${op} is none of ${OPS.join(', ')}`);
  for (const shape of shapes) {
    for (const dtype of flags.dtypes.split(',')) {
      if (dtype === 'f16' && (op === 'tn' || !profile.shaderF16)) continue;
      const tiers = flags.tiers.split(',').filter((tier) => obstacle(profile, tier) === null);
      // tensor cores multiply f16 only
      const arms = tiers.filter((tier) => tier !== 'subgroup_matrix' || dtype === 'f16');
      const [M, N, K] = shape;
      const ready = new Map();
      for (const tier of arms) {
        const product = await prepareProduct(device, { ...profile, tier }, { op, M, N, K, dtype });
        product.fillWithNoise();
        ready.set(tier, product);
      }
      const measured = await interleaved(new Map([...ready].map(([tier, { seconds }]) => [tier, seconds])), rounds);
      for (const { free } of ready.values()) free();
      const flop = 2 * M * N * K;
      const direct = measured.get('direct')?.seconds ?? null;
      for (const [tier, { seconds, samples }] of measured) {
        const ratio = direct === null ? null : direct / seconds;
        const figures = { ms: seconds * 1000, gflops: flop / seconds / 1e9, ratio, samples };
        const row = { op, shape: shape.join('x'), dtype, tier, ...figures };
        console.log(flags.json ? JSON.stringify(row) : rowText(row));
      }
    }
  }
}
await closeDevice(device);
