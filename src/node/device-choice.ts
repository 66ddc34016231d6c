/** Chooses the device to open: the caller's choice, else NIBBLE_DEVICE, else the best device there is. */
import { show } from '../config/show.ts';
import { ConfigError } from '../errors.ts';

/** `auto` takes a GPU, else a software driver; `gpu` takes hardware only; the others take that software driver. */
export type DeviceChoice = 'auto' | 'gpu' | 'lavapipe' | 'swiftshader';
export const DEVICE_CHOICES: readonly DeviceChoice[] = ['auto', 'gpu', 'lavapipe', 'swiftshader'];

const VARIABLE = 'NIBBLE_DEVICE';
/** Former name of NIBBLE_DEVICE. */
const OLD_VARIABLE = 'NIBBLE_ADAPTER';

/** Reads the choice from the environment, and calls `note` where it stands under the old name. @throws ConfigError */
export function deviceChoice(
  env: Readonly<Record<string, string | undefined>>,
  note: (text: string) => void,
): DeviceChoice {
  // a variable that is empty is one that nobody set
  const [current, old] = [env[VARIABLE] || undefined, env[OLD_VARIABLE] || undefined];
  if (old !== undefined && current !== undefined && old !== current)
    throw new ConfigError([
      {
        path: OLD_VARIABLE,
        message: `got ${show(old)}, and ${VARIABLE} is ${show(current)}: they are two names of one choice; unset ${OLD_VARIABLE}`,
      },
    ]);
  if (old !== undefined) note(`${OLD_VARIABLE}: read as ${VARIABLE}, its name now`);
  return knownChoice(current ?? old ?? 'auto', current === undefined && old !== undefined ? OLD_VARIABLE : VARIABLE);
}

/** Checks a choice; `path` is what messages call the place where it stands. @throws ConfigError */
export function knownChoice(wanted: unknown, path: string): DeviceChoice {
  const known = DEVICE_CHOICES.find((choice) => choice === wanted);
  if (known === undefined)
    throw new ConfigError([{ path, message: `got ${show(wanted)}, wanted one of ${DEVICE_CHOICES.join(', ')}` }]);
  return known;
}
