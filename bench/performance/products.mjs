/** What the micro-benchmarks of matrix products share: their shapes, and a device as runs open it, tuned tiles included. */
import { openDevice } from '#dist/node/device.js';
import { tuningDirectory } from '#dist/node/tuning.js';

/** [M, N, K] of each of the shapes of a flag. @throws RangeError */
export const productShapes = (flag) =>
  flag.split(',').map((text) => {
    const sizes = text.split('x').map(Number);
    if (sizes.length !== 3 || !sizes.every((n) => Number.isInteger(n) && n > 0))
      throw new RangeError(`--shapes: ${text} is not MxNxK, such as 4096x4096x4096`);
    return sizes;
  });

export const openTunedDevice = () =>
  openDevice({
    adapter: process.env.NIBBLE_DEVICE ?? 'auto',
    unchecked: true,
    tuning: tuningDirectory(process.env),
  });
