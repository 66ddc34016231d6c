/** What a command may touch of the process, so that a test can hand in its own. */
import type { ProgressStream } from './progress.ts';

export type CliContext = {
  /** Results: what a pipe or a file should receive. */
  readonly stdout: { write(text: string): unknown };
  /** Everything said to the person watching: notices, progress, errors. */
  readonly stderr: ProgressStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT or SIGTERM; long work ends at the next step boundary. */
  readonly signal: AbortSignal;
};

/** What a command calls once its arguments are understood; a room below owns the work. */
export type Handler<Args> = (args: Args, context: CliContext) => Promise<void>;
