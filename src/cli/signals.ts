/** The one place where SIGINT and SIGTERM arrive. */

type Signal = 'SIGINT' | 'SIGTERM';
const NUMBER: Readonly<Record<Signal, number>> = { SIGINT: 2, SIGTERM: 15 };
// A shell reports a process ended by signal n as 128 + n.
const SIGNALLED = 128;

/** The reason of an abort that a signal caused; work that stops early throws it. */
export class StoppedBySignal extends Error {
  override readonly name = 'AbortError';
  readonly exitCode: number;

  constructor(signal: Signal) {
    super(`stopped by ${signal}`);
    this.exitCode = SIGNALLED + NUMBER[signal];
  }
}

/** The part of `process` that is used here. */
export type SignalSource = {
  on(event: Signal, listener: () => void): unknown;
  off(event: Signal, listener: () => void): unknown;
  exit(code: number): void;
};

/**
 * An AbortSignal whose reason is a StoppedBySignal. The first signal lets the work end cleanly, the second ends the
 * process at once.
 */
export function abortOnSignals(source: SignalSource): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const onSignal = (name: Signal) => () => {
    const reason = new StoppedBySignal(name);
    if (controller.signal.aborted) source.exit(reason.exitCode);
    else controller.abort(reason);
  };
  const listeners = { SIGINT: onSignal('SIGINT'), SIGTERM: onSignal('SIGTERM') };
  const names = Object.keys(listeners) as Signal[];
  for (const name of names) source.on(name, listeners[name]);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const name of names) source.off(name, listeners[name]);
    },
  };
}
