#!/usr/bin/env node
/** The program `nibble`: the process around runCli. */
import { benchCommand } from './bench/command.ts';
import { configCommand } from './config/command.ts';
import { doctorCommand } from './doctor/command.ts';
import { estimateCommand } from './estimate/command.ts';
import { type CommandMaker, runCli } from './program.ts';
import { quantizeCommand } from './quantize/command.ts';
import { abortOnSignals } from './shared/signals.ts';
import { trainCommand } from './train/command.ts';
import { tuneKernelsCommand } from './tune-kernels/command.ts';

/** Each command imports its code when it runs, so that `nibble --help` loads no GPU code. */
const commands: readonly CommandMaker[] = [
  (c) => trainCommand(c, async (args, context) => (await import('./train/run.ts')).runTrain(args, context)),
  (c) => quantizeCommand(c, async (args, context) => (await import('./quantize/run.ts')).runQuantize(args, context)),
  (c) =>
    benchCommand(c, {
      run: async (args, context) => (await import('./bench/run.ts')).runBench(args, context),
      list: async (args, context) => (await import('./bench/run.ts')).listSuites(args, context),
      report: async (args, context) => (await import('./bench/run.ts')).reportAgain(args, context),
      publish: async (args, context) => (await import('./bench/run.ts')).publish(args, context),
    }),
  (c) => estimateCommand(c, async (args, context) => (await import('./estimate/run.ts')).runEstimate(args, context)),
  (c) =>
    tuneKernelsCommand(c, async (args, context) =>
      (await import('./tune-kernels/run.ts')).runTuneKernels(args, context),
    ),
  (c) => doctorCommand(c, async (args, context) => (await import('./doctor/run.ts')).runDoctor(args, context)),
  configCommand,
];

// `nibble config schema | head` closes the pipe early, which is not a failure
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

const { signal, dispose } = abortOnSignals(process);
const { stdout, stderr, env } = process;
const exitCode = await runCli(process.argv.slice(2), { stdout, stderr, env, signal }, commands);
dispose();
// lets a pipe take what was written, then exits whatever is still open: closing a device was seen to hang (webgpu
// 0.6.2)
stdout.write('', () => process.exit(exitCode));
