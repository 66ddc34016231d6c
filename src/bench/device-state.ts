/** What of a device must not change between the runs of a suite: its driver, the clocks it may reach, and its power limit. */
import { nvidiaSmi } from '../node/environment.ts';
import type { DeviceState } from '../results/summary-schema.ts';

type State = Omit<DeviceState, 'name'>;

/** Reads it before a run, when the GPU idles: clocks under load are compared by the report. */
export async function deviceState(): Promise<State> {
  const smi = await nvidiaSmi();
  return {
    driver: smi?.driver_version ?? null,
    clocks_max: smi?.clocks_max ?? null,
    power_limit: smi?.power_limit ?? null,
  };
}

/** Says what differs from the first run's state; null where nothing does. */
export function changeOfState(before: State, now: State): string | null {
  if (before.driver !== now.driver)
    return `the driver is ${now.driver ?? 'no longer there'}, and was ${before.driver ?? 'none'} in the runs before`;
  for (const [clock, mhz] of Object.entries(before.clocks_max ?? {})) {
    const there = now.clocks_max?.[clock];
    if (there !== mhz)
      return `the highest ${clock} clock is ${there ?? 'unknown'} MHz, and was ${mhz} in the runs before`;
  }
  if (before.power_limit !== now.power_limit)
    return `the power limit is ${now.power_limit ?? 'unknown'} W, and was ${before.power_limit ?? 'unknown'} in the runs before`;
  return null;
}

/** Says that the device of a run is not that of the runs before. */
export function otherDevice(before: string, now: string): string {
  return (
    `the device is ${now}, and the runs before were made on ${before}; a suite is made on one device. ` +
    `Go on where that device is (NIBBLE_DEVICE chooses one), or begin a new folder`
  );
}
