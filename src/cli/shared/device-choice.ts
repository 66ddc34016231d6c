/** Which adapter the environment asks for: NIBBLE_DEVICE, by default the best one there is. */
import { ConfigError } from '../../errors.ts';
import { DEVICE_CHOICES, type DeviceChoice } from '../../node/device.ts';

export function deviceChoice(env: Readonly<Record<string, string | undefined>>): DeviceChoice {
  const wanted = env.NIBBLE_DEVICE ?? 'auto';
  const known = DEVICE_CHOICES.find((choice) => choice === wanted);
  if (known === undefined) {
    throw new ConfigError([
      { path: 'NIBBLE_DEVICE', message: `got ${wanted}, wanted one of ${DEVICE_CHOICES.join(', ')}` },
    ]);
  }
  return known;
}
