/** Options that every function of the front door takes besides its settings, and how it collects their problems. */
import { ConfigError, type ConfigProblem } from '../errors.ts';

/** Events that every function tells; training adds its steps and evaluations. */
export type WorkEvent<Phase extends string> =
  | { readonly type: 'phase'; readonly phase: Phase; readonly total: number }
  | { readonly type: 'progress'; readonly phase: Phase; readonly label: string }
  | { readonly type: 'note'; readonly text: string };

export type CallOptions<Event> = {
  /** Called with each event as it happens. An error it throws ends the work. */
  readonly onEvent?: ((event: Event) => void) | undefined;
  /** Ends the work early; the promise is then rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
};

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
