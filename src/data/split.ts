/** Rows held back from training, to evaluate on. */
import { ConfigError } from '../errors.ts';
import { TorchRng } from '../formats/torch-rng.ts';

/**
 * Chooses rows at random, the same for the same seed. `size` below 1 is a fraction of all rows, rounded up as by `train_test_split`;
 * else a count. @returns indices of both parts, each in the order of the file
 * @throws ConfigError where no row would be left to train on
 */
export function splitIndices(
  count: number,
  size: number,
  seed: number,
): { train: Uint32Array; evaluation: Uint32Array } {
  const held = size < 1 ? Math.ceil(size * count) : size;
  if (held >= count)
    throw new ConfigError([
      {
        path: 'val_set_size',
        message: `is ${size}, which takes ${held} of ${count} rows to evaluate on and leaves none to train on; give less`,
      },
    ]);
  const order = new TorchRng(seed).randperm(count);
  return { train: order.slice(held).sort(), evaluation: order.slice(0, held).sort() };
}
