/** The parts of the process that a command may touch; tests pass their own. */
import type { ProgressStream } from './progress.ts';

export type CliContext = {
  /** What is piped into the command, read where - stands for a file. */
  readonly stdin: AsyncIterable<Uint8Array | string>;
  /** For results, which a pipe or a file should receive. */
  readonly stdout: { write(text: string): unknown };
  /** For the person watching: notices, progress, errors. */
  readonly stderr: ProgressStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT or SIGTERM; long work ends at the next step boundary. */
  readonly signal: AbortSignal;
  /** When the command's time began, by `performance.now`: 0 where its process has nothing else to do. */
  readonly startedMs?: number;
};

/** Called by a command once its arguments are understood. */
export type Handler<Args> = (args: Args, context: CliContext) => Promise<void>;
