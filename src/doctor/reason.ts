/** Finds the line of a probe that says why there is no device. */
import type { Probe } from './types.ts';

/** Lines that appear whatever is wrong: lavapipe's without a desktop, Dawn's about its limits and source places. */
const NOISE = /XDG_RUNTIME_DIR|artificially reduced|^\s*(- While|at )/;

/** Returns the first line of the driver or its loader, or else of Dawn. */
export function reasonOf({ driverLog, error }: Probe): string {
  const lines = [...driverLog.split('\n'), error ?? ''].filter((line) => line.trim() !== '' && !NOISE.test(line));
  return lines[0]?.trim() ?? 'the driver gave no reason';
}
