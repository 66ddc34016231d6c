/** Reports the failure of a command and chooses its exit code. */
import { CommanderError } from 'commander';
import pc from 'picocolors';
import { ConfigError, DataError, exitCodeOf, isRefusal, type NodeError, RunStopped } from '../../errors.ts';
import { inWords } from '../../node/files.ts';
import type { CliContext } from './context.ts';
import { StoppedBySignal } from './signals.ts';
import { OutputClosed } from './streams.ts';
import { wantsColor } from './terminal.ts';

const USAGE_EXIT_CODE = 2;
/** sysexits(3) EX_TEMPFAIL: the run is not done, and goes on when it is started again. */
export const STOPPED_EXIT_CODE = 75;

/** A failure that its command has told already, in its own way. */
export class Told extends Error {
  override readonly name = 'Told';
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`ends with exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** Exit code of a failure, and what to tell of it; null where nothing is to be told, or it has been. */
export type Failure = { readonly exitCode: number; readonly message: string | null };

/** Prints the failure on stderr and returns the exit code, as failureOf has it. */
export function reportFailure(error: unknown, context: CliContext): number {
  const { exitCode, message } = failureOf(error, context.signal);
  const color = pc.createColors(wantsColor(context.stderr, context.env));
  if (message !== null) context.stderr.write(`${color.red('nibble:')} ${message}\n`);
  return exitCode;
}

/** Chooses the exit code: 2 usage or mendable, 1 our bug, 75 a run that was stopped and can go on, 128 + n a signal. */
export function failureOf(error: unknown, signal: AbortSignal): Failure {
  // commander has printed its help or its complaint already
  if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : USAGE_EXIT_CODE, message: null };
  if (error instanceof Told) return { exitCode: error.exitCode, message: null };
  const cause = causeOf(error, signal);
  if (cause instanceof OutputClosed) return { exitCode: 0, message: null };
  if (cause instanceof RunStopped) return { exitCode: STOPPED_EXIT_CODE, message: cause.message };
  if (cause instanceof StoppedBySignal) return { exitCode: cause.exitCode, message: cause.message };
  return { exitCode: exitCodeOf(cause), message: messageOf(cause) };
}

/** Platform code answers an abort with an AbortError of its own. */
function causeOf(error: unknown, { aborted, reason }: AbortSignal): unknown {
  const isOurs = reason instanceof StoppedBySignal || reason instanceof OutputClosed || reason instanceof DataError;
  return aborted && isOurs && error instanceof Error && error.name === 'AbortError' ? reason : error;
}

function messageOf(error: unknown): string {
  if (error instanceof ConfigError && error.problems.length > 1)
    return `${error.problems.length} problems in the configuration:\n${error.message.replaceAll(/^/gm, '  ')}`;
  if (isRefusal(error)) return refusalInWords(error);
  if (exitCodeOf(error) === 2) return (error as Error).message;
  return `this is a bug in nibble, please report it with these lines:\n${stackOf(error)}`;
}

function refusalInWords(error: NodeError): string {
  const what = error.path === undefined ? error.syscall : `${error.syscall} of ${error.path}`;
  return `the system refused it: ${what} (${inWords(error)})`;
}

/** Joins the stack with the stacks of its causes. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? `${error.name}: ${error.message}`}${cause}`;
}
