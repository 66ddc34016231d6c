/** Times of loading and compiling, which run side by side. */
import type { LoadTimes } from '../model/load.ts';
import type { Timing } from './events.ts';

/** A promise with the span in which it was pending, in milliseconds of `performance.now`. */
export type Timed<T> = {
  readonly result: Promise<T>;
  /** Never rejects. */
  readonly ended: Promise<{ readonly from: number; readonly to: number }>;
  /** @throws what the promise was rejected with, where it has been */
  throwIfFailed(): void;
};

/** Notes when a promise began and ended. */
export function timed<T>(result: Promise<T>): Timed<T> {
  const from = performance.now();
  const now = () => ({ from, to: performance.now() });
  let failure: { readonly error: unknown } | null = null;
  const ended = result.then(now, (error: unknown) => {
    failure = { error };
    return now();
  });
  const throwIfFailed = (): void => {
    if (failure !== null) throw failure.error;
  };
  return { result, ended, throwIfFailed };
}

/** Times of a load that ends before any weight. */
export const NOTHING_LOADED: LoadTimes = { quantizeSeconds: 0, quantizeBusySeconds: 0, quantErrors: new Map() };

/** One line for a person about loading and compiling. */
export function loadNote(times: Timing): string {
  const s = (seconds: number): string => `${seconds.toFixed(2)} s`;
  const quantized = times.quantize_busy_s > 0 ? `, quantizing ${s(times.quantize_busy_s)} of its threads together` : '';
  const compiled = s(times.compile_overlapped_s + times.compile_s);
  return `loaded in ${s(times.load_s + times.quantize_s)}${quantized}; compiled in ${compiled}, ${s(times.compile_overlapped_s)} of them while loading`;
}
