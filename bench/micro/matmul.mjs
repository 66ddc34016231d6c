/** Speed of the matmul tiers at given shapes: GFLOP/s, and the ratio to `direct` in the same run. `npm run build` first. */
import { parseArgs } from 'node:util';
import { prepareProduct } from '../../dist/bench/product.js';
import { closeDevice, openDevice } from '../../dist/gpu/node.js';
import { obstacle } from '../../dist/gpu/tier.js';
import { tuningDirectory } from '../../dist/gpu/tuning.node.js';

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
const shapes = flags.shapes.split(',').map((text) => {
  const sizes = text.split('x').map(Number);
  if (sizes.length !== 3 || !sizes.every((n) => Number.isInteger(n) && n > 0))
    throw new RangeError(`--shapes: ${text} is not MxNxK, such as 4096x4096x4096`);
  return sizes;
});

const device = await openDevice({
  adapter: process.env.NIBBLE_ADAPTER ?? 'auto',
  unchecked: true,
  tuning: tuningDirectory(process.env),
});
const { profile } = device;

/** Long enough that submitting does not count, and the clock of an idle GPU has risen. */
const LEAST_SECONDS = 0.05;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const rows = [];
for (const op of flags.ops.split(',')) {
  if (!OPS.includes(op)) throw new RangeError(`--ops: ${op} is none of ${OPS.join(', ')}`);
  for (const shape of shapes) {
    for (const dtype of flags.dtypes.split(',')) {
      if (dtype === 'f16' && (op === 'tn' || !profile.shaderF16)) continue;
      const tiers = flags.tiers.split(',').filter((tier) => obstacle(profile, tier) === null);
      // tensor cores multiply f16 only
      const arms = tiers.filter((tier) => tier !== 'subgroup_matrix' || dtype === 'f16');
      const ready = new Map();
      const [M, N, K] = shape;
      const repeats = new Map();
      for (const tier of arms) {
        const product = await prepareProduct(device, { ...profile, tier }, { op, M, N, K, dtype });
        product.fillWithNoise();
        await product.seconds();
        ready.set(tier, product);
        repeats.set(tier, Math.max(1, Math.ceil(LEAST_SECONDS / (await product.seconds()))));
      }
      const times = new Map(arms.map((tier) => [tier, []]));
      for (let round = 0; round < Number(flags.rounds); round++)
        for (const tier of arms) times.get(tier).push(await ready.get(tier).seconds(repeats.get(tier)));
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
  console.log(
    JSON.stringify(
      {
        adapter: device.adapter.description,
        software: profile.software,
        tiles: profile.tiles ?? {},
        rounds: Number(flags.rounds),
        rows,
      },
      null,
      2,
    ),
  );
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
