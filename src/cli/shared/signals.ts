/** Turns SIGINT and SIGTERM into an AbortSignal. */

type Signal = 'SIGINT' | 'SIGTERM';
const NUMBER: Readonly<Record<Signal, number>> = { SIGINT: 2, SIGTERM: 15 };
// a shell reports a process that signal n ended as 128 + n
const SIGNALLED = 128;
/**
 * A signal that follows so soon counts as the same one: npx passes on a Ctrl-C that the terminal has sent here already.
 */
export const SAME_SIGNAL_MS = 150;

/** Reason of an abort that a signal caused; work that stops early throws it. */
export class StoppedBySignal extends Error {
  override readonly name = 'AbortError';
  readonly exitCode: number;

  constructor(signal: Signal) {
    super(`stopped by ${signal}`);
    this.exitCode = SIGNALLED + NUMBER[signal];
  }
}

/** The part of `process` that signals need. */
type SignalSource = {
  on(event: Signal, listener: () => void): unknown;
  off(event: Signal, listener: () => void): unknown;
};

/**
 * Makes an AbortSignal whose reason is a StoppedBySignal. The first signal lets the work end cleanly. After it nobody
 * listens, so that a second signal ends the process at once, even where a cleanup hangs.
 * @param onDeaf called when nobody listens any more
 */
export function abortOnSignals(
  source: SignalSource,
  onDeaf: () => void = () => undefined,
): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const dispose = (): void => {
    for (const name of names) source.off(name, listeners[name]);
    onDeaf();
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
