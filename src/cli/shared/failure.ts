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
const STOPPED_EXIT_CODE = 75;

/**
 * Prints the failure on stderr and returns the exit code: 2 usage or mendable, 1 our bug, 75 a run that was stopped and can go
 * on, 128 + n a signal.
 */
export function reportFailure(error: unknown, context: CliContext): number {
  // commander has printed its help or its complaint already
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
  const color = pc.createColors(wantsColor(context.stderr, context.env));
  const say = (text: string) => context.stderr.write(`${color.red('nibble:')} ${text}\n`);
  const cause = causeOf(error, context.signal);
  if (cause instanceof OutputClosed) return 0;
  if (cause instanceof RunStopped) {
    say(cause.message);
    return STOPPED_EXIT_CODE;
  }
  if (cause instanceof StoppedBySignal) {
    say(cause.message);
    return cause.exitCode;
  }
  return reportError(cause, say);
}

/** Platform code answers an abort with an AbortError of its own. */
function causeOf(error: unknown, { aborted, reason }: AbortSignal): unknown {
  const isOurs = reason instanceof StoppedBySignal || reason instanceof OutputClosed || reason instanceof DataError;
  return aborted && isOurs && error instanceof Error && error.name === 'AbortError' ? reason : error;
}

function reportError(error: unknown, say: (text: string) => void): number {
  if (error instanceof ConfigError && error.problems.length > 1)
    say(`${error.problems.length} problems in the configuration:\n${error.message.replaceAll(/^/gm, '  ')}`);
  else if (isRefusal(error)) say(refusalInWords(error));
  else if (exitCodeOf(error) === 2) say((error as Error).message);
  else say(`this is a bug in nibble, please report it with these lines:\n${stackOf(error)}`);
  return exitCodeOf(error);
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
