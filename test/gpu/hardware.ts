/** Tests of what only GPUs take, such as their block sizes: a software driver, which compiles those for minutes, skips them aloud. */
import { it } from 'vitest';
import { device } from './harness.ts';

const REASON = `${device.profile.name} is a software driver, and would take minutes for a GPU's blocks (bench/gpu-host/gpu-host.sh runs them)`;

if (device.profile.software) console.warn(`SKIPPED: ${REASON}`);

/** `it`, on a GPU. Nothing can require it: NIBBLE_TEST_DEVICE=gpu opens no software driver. */
export function itHardware(name: string, body: () => Promise<void>): void {
  if (device.profile.software) it.skip(`${name} [${REASON}]`, body);
  else it(name, body);
}
