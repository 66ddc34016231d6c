/** The line of a probe that says why there is no device. */
import type { Probe } from './types.ts';

/** Said on every machine of that kind, whatever is wrong: lavapipe without a desktop, Dawn on its own limits and places. */
const NOISE = /XDG_RUNTIME_DIR|artificially reduced|^\s*(- While|at )/;

/** What the driver or its loader said, before what Dawn made of it. */
export function reasonOf({ driverLog, error }: Probe): string {
  const lines = [...driverLog.split('\n'), error ?? ''].filter((line) => line.trim() !== '' && !NOISE.test(line));
  return lines[0]?.trim() ?? 'the driver gave no reason';
}
