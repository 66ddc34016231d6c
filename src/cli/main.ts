#!/usr/bin/env node
/** The command `nibble`: the process around runCli. */
import { configCommand } from './config.ts';
import { type CommandMaker, runCli } from './program.ts';
import { abortOnSignals } from './signals.ts';

/** Each command imports its room when it runs, so that `nibble --help` loads no GPU code. */
const commands: readonly CommandMaker[] = [configCommand];

// `nibble config schema | head` closes the pipe early, which is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

const { signal, dispose } = abortOnSignals(process);
const { stdout, stderr, env } = process;
process.exitCode = await runCli(process.argv.slice(2), { stdout, stderr, env, signal }, commands);
dispose();
