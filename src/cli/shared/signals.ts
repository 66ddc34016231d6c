/** The one place where SIGINT and SIGTERM arrive. */

type Signal = 'SIGINT' | 'SIGTERM';
const NUMBER: Readonly<Record<Signal, number>> = { SIGINT: 2, SIGTERM: 15 };
// A shell reports a process ended by signal n as 128 + n.
const SIGNALLED = 128;
/** npx passes a Ctrl-C on that the terminal has sent to this process already; what follows so soon is the same one. */
const SAME_SIGNAL_MS = 250;

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
};

/**
 * An AbortSignal whose reason is a StoppedBySignal. The first signal lets the work end cleanly. Then nobody listens any
 * more, so that the system itself ends the process at the second: no cleanup that hangs can hold it.
 */
export function abortOnSignals(source: SignalSource): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const dispose = (): void => {
    for (const name of names) source.off(name, listeners[name]);
  };
  const onSignal = (name: Signal) => () => {
    if (controller.signal.aborted) return;
    setTimeout(dispose, SAME_SIGNAL_MS).unref();
    controller.abort(new StoppedBySignal(name));
  };
  const listeners = { SIGINT: onSignal('SIGINT'), SIGTERM: onSignal('SIGTERM') };
  const names = Object.keys(listeners) as Signal[];
  for (const name of names) source.on(name, listeners[name]);
  return { signal: controller.signal, dispose };
}
