/** The device that the environment asks a command to take. */
import { type DeviceChoice, deviceChoice } from '../../node/device-choice.ts';
import type { CliContext } from './context.ts';

/** Reads NIBBLE_DEVICE and prints its notes. @throws ConfigError */
export function askedDevice({ env, stderr }: Pick<CliContext, 'env' | 'stderr'>): DeviceChoice {
  return deviceChoice(env, (text) => stderr.write(`note: ${text}\n`));
}
