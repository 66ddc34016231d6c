/** Runs the command line without a process; its streams are strings. */
import { Readable } from 'node:stream';

import { type CommandMaker, runCli } from '../../src/cli/program.ts';
import type { CliContext } from '../../src/cli/shared/context.ts';

export type Outcome = { code: number; stdout: string; stderr: string };

/** Runs `nibble ARGV` with the given commands and collects its output. */
export async function nibble(
  argv: readonly string[],
  makers: readonly CommandMaker[],
  more: Partial<CliContext> = {},
): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  const context: CliContext = {
    stdin: Readable.from([]),
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
    env: {},
    signal: new AbortController().signal,
    ...more,
  };
  const code = await runCli(argv, context, makers);
  return { code, stdout: out.join(''), stderr: err.join('') };
}
