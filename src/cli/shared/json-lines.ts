/** Events as JSON lines on standard output, for a log collector or a program: one object a line, with its time and type. */
import type { CliContext } from './context.ts';

/** Writes one event; what is not a finite number becomes null, as JSON has it. */
export type WriteEvent = (type: string, fields: object) => void;

/** @param now injected by tests */
export function jsonLines(stdout: CliContext['stdout'], now: () => Date = () => new Date()): WriteEvent {
  return (type, fields) => stdout.write(`${JSON.stringify({ time: now().toISOString(), type, ...fields })}\n`);
}

/** The context of a command that writes JSON lines: what it tells a person is an event, too. */
export function withJsonNotes(context: CliContext, write: WriteEvent): CliContext {
  const note = (text: string): void => {
    for (const line of text.split('\n'))
      if (line.trim() !== '') write('note', { text: line.replace(/^note: /, '').trim() });
  };
  const { stdout, env, signal } = context;
  return {
    // asked for only where it is read
    get stdin() {
      return context.stdin;
    },
    stderr: { write: note },
    stdout,
    env,
    signal,
  };
}
