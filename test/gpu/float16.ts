/** Tests that need WGSL f16. A device without it skips them aloud; REQUIRE_GPU=1 makes that a failure. */
import { it } from 'vitest';
import { f16Bits, f16Value } from '../ref/nf4.ts';
import { device } from './harness.ts';

const REASON = `${device.profile.name} has no shader-f16 (lavapipe has: scripts/install-lavapipe.sh, NIBBLE_TEST_DEVICE=lavapipe)`;

if (!device.profile.shaderF16) console.warn(`SKIPPED: ${REASON}`);

/** `it`, on a device with shader-f16. */
export function itFloat16(name: string, body: () => Promise<void>): void {
  if (device.profile.shaderF16) it(name, body);
  else if (process.env.REQUIRE_GPU === '1') {
    it(name, () => {
      throw new Error(`REQUIRE_GPU=1, but ${REASON}`);
    });
  } else it.skip(`${name} [${REASON}]`, body);
}

/** f16 bit patterns two to a word, the first in the lower half. */
export function packHalves(bits: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  return Uint32Array.from({ length: Math.ceil(bits.length / 2) }, (_, i) => {
    return (bits[2 * i] as number) | ((bits[2 * i + 1] ?? 0) << 16);
  });
}

export function unpackHalves(words: Uint32Array, count: number): number[] {
  return Array.from({ length: count }, (_, i) => ((words[i >> 1] as number) >>> (i % 2 === 0 ? 0 : 16)) & 0xffff);
}

export const toHalves = (values: ArrayLike<number>): Uint32Array<ArrayBuffer> =>
  packHalves(Array.from(values, f16Bits));

/** Distance between the two f16 neighbours of a value of normal size. */
export function ulpOfHalf(value: number): number {
  return 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -14) - 10);
}

/**
 * Throws unless got is one of the two f16 numbers beside want, or want itself: WGSL leaves the direction of rounding to
 * the device. `slack` is the error that want itself may have in the kernel's f32.
 */
export function expectRoundedToHalf(name: string, got: number, want: number, slack = 0): void {
  if (f16Value(f16Bits(got)) !== got) throw new Error(`${name}: ${got} is no f16 number`);
  if (!(Math.abs(got - want) < ulpOfHalf(want) + slack || got === want))
    throw new Error(`${name}: got ${got}, want ${want} rounded to f16`);
}
