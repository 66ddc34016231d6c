/** Tests that execute subgroup matrices. A device without them skips them aloud; REQUIRE_SUBGROUP_MATRIX=1 makes that a failure. */
import { it } from 'vitest';
import { itHardware } from './hardware.ts';
import { device } from './harness.ts';

const REASON = `${device.profile.name} has no subgroup matrices (lavapipe 26.1 has: scripts/install-lavapipe-subgroup-matrix.sh)`;

if (device.profile.subgroupMatrix === null) console.warn(`SKIPPED: ${REASON}`);

/** `it`, on a device with subgroup matrices of f16 with f32 sums. */
export function itSubgroupMatrix(name: string, body: () => Promise<void>): void {
  if (device.profile.subgroupMatrix !== null) it(name, body);
  else if (process.env.REQUIRE_SUBGROUP_MATRIX === '1') {
    it(name, () => {
      throw new Error(`REQUIRE_SUBGROUP_MATRIX=1, but ${REASON}`);
    });
  } else it.skip(`${name} [${REASON}]`, body);
}

/** `it`, on a GPU with such matrices. */
export const itGpuMatrix = device.profile.subgroupMatrix === null ? itSubgroupMatrix : itHardware;
