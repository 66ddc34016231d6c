/** Options that every function of the front door takes besides its settings, and how it collects their problems. */
import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';

/** Events that every function tells; training adds its steps and evaluations. */
export type WorkEvent<Phase extends string> =
  | { readonly type: 'phase'; readonly phase: Phase; readonly total: number }
  | { readonly type: 'progress'; readonly phase: Phase; readonly label: string }
  | { readonly type: 'note'; readonly text: string };

/** Events of opening a model to generate with. */
export type LoadEvent = WorkEvent<'download' | 'load' | 'compile'>;

export type CallOptions<Event> = {
  /** Called with each event as it happens. An error it throws ends the work. */
  readonly onEvent?: ((event: Event) => void) | undefined;
  /** Ends the work early; the promise is then rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
};

/** Checks that a function was called with an object. @throws ConfigError that says how to call it */
export function requireOptions(name: string, options: unknown, example: string): void {
  const isObject = typeof options === 'object' && options !== null && !Array.isArray(options);
  if (isObject) return;
  const message = `${name}() got ${options === undefined ? 'nothing' : show(options)}, wanted an object of options, such as ${name}(${example})`;
  throw new ConfigError([{ path: '', message }]);
}

/** Finds what is wrong with the options that every function takes; a program need not be checked by a compiler. */
export function callProblems({
  onEvent,
  signal,
}: {
  readonly onEvent?: unknown;
  readonly signal?: unknown;
}): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (onEvent !== undefined && typeof onEvent !== 'function')
    problems.push({ path: 'onEvent', message: `got ${show(onEvent)}, wanted a function (options)` });
  if (signal !== undefined && !(signal instanceof AbortSignal))
    problems.push({ path: 'signal', message: `got ${show(signal)}, wanted an AbortSignal (options)` });
  return problems;
}

/** Returns what `read` returns, or undefined where it throws a ConfigError, whose problems are added to `problems`. */
export function collect<T>(problems: ConfigProblem[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) problems.push(problem);
    return undefined;
  }
}
