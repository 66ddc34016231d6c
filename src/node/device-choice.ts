/** Which device to open: what a caller says, else NIBBLE_DEVICE, else the best one there is. */
import { ConfigError } from '../errors.ts';

/** `auto`: a GPU, else a software driver. `gpu`: never software. The last two: that software driver. */
export type DeviceChoice = 'auto' | 'gpu' | 'lavapipe' | 'swiftshader';
export const DEVICE_CHOICES: readonly DeviceChoice[] = ['auto', 'gpu', 'lavapipe', 'swiftshader'];

const VARIABLE = 'NIBBLE_DEVICE';
/** Its former name. */
const OLD_VARIABLE = 'NIBBLE_ADAPTER';

/** The choice of the environment. `note` is told where it is read from the old name. @throws ConfigError */
export function deviceChoice(
  env: Readonly<Record<string, string | undefined>>,
  note: (text: string) => void,
): DeviceChoice {
  const [current, old] = [env[VARIABLE], env[OLD_VARIABLE]];
  if (old !== undefined && current !== undefined && old !== current)
    throw new ConfigError([
      {
        path: OLD_VARIABLE,
        message: `got ${old}, and ${VARIABLE} is ${current}: they are two names of one choice; unset ${OLD_VARIABLE}`,
      },
    ]);
  if (old !== undefined) note(`${OLD_VARIABLE}: read as ${VARIABLE}, its name now`);
  return knownChoice(current ?? old ?? 'auto', current === undefined && old !== undefined ? OLD_VARIABLE : VARIABLE);
}

/** @param path what messages call the place where `wanted` stands. @throws ConfigError */
export function knownChoice(wanted: unknown, path: string): DeviceChoice {
  const known = DEVICE_CHOICES.find((choice) => choice === wanted);
  if (known === undefined)
    throw new ConfigError([{ path, message: `got ${wanted}, wanted one of ${DEVICE_CHOICES.join(', ')}` }]);
  return known;
}
