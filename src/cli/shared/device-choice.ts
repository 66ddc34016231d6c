/** Which adapter the environment asks for: NIBBLE_ADAPTER, by default the best one there is. */
import { ConfigError } from '../../errors.ts';
import { ADAPTER_CHOICES, type AdapterChoice } from '../../node/device.ts';

export function adapterChoice(env: Readonly<Record<string, string | undefined>>): AdapterChoice {
  const wanted = env.NIBBLE_ADAPTER ?? 'auto';
  const known = ADAPTER_CHOICES.find((choice) => choice === wanted);
  if (known === undefined) {
    throw new ConfigError([
      { path: 'NIBBLE_ADAPTER', message: `got ${wanted}, wanted one of ${ADAPTER_CHOICES.join(', ')}` },
    ]);
  }
  return known;
}
