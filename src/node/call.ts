/** What every function of the front door takes besides its settings, and how it collects what is wrong with those. */
import { ConfigError, type ConfigProblem } from '../errors.ts';

/** Shapes that all of them tell what they do in; training adds its steps and evaluations. */
export type WorkEvent<Phase extends string> =
  | { readonly type: 'phase'; readonly phase: Phase; readonly total: number }
  | { readonly type: 'progress'; readonly phase: Phase; readonly label: string }
  | { readonly type: 'note'; readonly text: string };

export type CallOptions<Event> = {
  /** Told what happens while it happens. What it throws ends the work. */
  readonly onEvent?: ((event: Event) => void) | undefined;
  /** Ends the work early: the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
};

/** What `read` returns; undefined where it throws a ConfigError, whose problems join the others. */
export function collect<T>(problems: ConfigProblem[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) problems.push(problem);
    return undefined;
  }
}
