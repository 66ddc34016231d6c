/** The process around runCli: its streams, signals and exit code. */
import { endAtSecondSignal } from '../node/watch.ts';
import { adaptersCommand } from './adapters/command.ts';
import { adviseCommand } from './advise/command.ts';
import { benchCommand } from './bench/command.ts';
import { compareCommand } from './compare/command.ts';
import { configCommand } from './config/command.ts';
import { dataCommand } from './data/command.ts';
import { doctorCommand } from './doctor/command.ts';
import { estimateCommand } from './estimate/command.ts';
import { evalCommand } from './eval/command.ts';
import { exportCommand } from './export/command.ts';
import { generateCommand } from './generate/command.ts';
import { mergeCommand } from './merge/command.ts';
import { type CommandMaker, runCli } from './program.ts';
import { quantizeCommand } from './quantize/command.ts';
import { serveCommand } from './serve/command.ts';
import { reportFailure } from './shared/failure.ts';
import { abortOnSignals, SAME_SIGNAL_MS } from './shared/signals.ts';
import { standardStreams } from './shared/streams.ts';
import { trainCommand } from './train/command.ts';
import { tuneKernelsCommand } from './tune-kernels/command.ts';

/** Each command imports its code when it runs, so that `nibble --help` loads no GPU code. */
const commands: readonly CommandMaker[] = [
  (c) => trainCommand(c, async (args, context) => (await import('./train/run.ts')).runTrain(args, context)),
  (c) => dataCommand(c, async (args, context) => (await import('./data/run.ts')).runPreview(args, context)),
  (c) => generateCommand(c, async (args, context) => (await import('./generate/run.ts')).runGenerate(args, context)),
  (c) => evalCommand(c, async (args, context) => (await import('./eval/run.ts')).runEval(args, context)),
  (c) => serveCommand(c, async (args, context) => (await import('./serve/run.ts')).runServe(args, context)),
  (c) => mergeCommand(c, async (args, context) => (await import('./merge/run.ts')).runMerge(args, context)),
  (c) => exportCommand(c, async (args, context) => (await import('./export/run.ts')).runExport(args, context)),
  (c) =>
    adaptersCommand(c, {
      inspect: async (args, context) => (await import('./adapters/run.ts')).runInspect(args, context),
      combine: async (args, context) => (await import('./adapters/run.ts')).runCombine(args, context),
    }),
  (c) => quantizeCommand(c, async (args, context) => (await import('./quantize/run.ts')).runQuantize(args, context)),
  (c) =>
    benchCommand(c, {
      run: async (args, context) => (await import('./bench/run.ts')).runBench(args, context),
      list: async (args, context) => (await import('./bench/run.ts')).listSuites(args, context),
      report: async (args, context) => (await import('./bench/run.ts')).reportAgain(args, context),
      merge: async (args, context) => (await import('./bench/run.ts')).mergeBench(args, context),
      publish: async (args, context) => (await import('./bench/publish.ts')).publish(args, context),
      index: async (args, context) => (await import('./bench/publish.ts')).indexResults(args, context),
      repeat: async (args, context) => (await import('./bench/repeat.ts')).repeatBench(args, context),
      export: async (args, context) => (await import('./bench/export.ts')).exportBench(args, context),
    }),
  (c) => compareCommand(c, async (args, context) => (await import('./compare/run.ts')).runCompare(args, context)),
  (c) =>
    estimateCommand(
      c,
      async (args, context) => (await import('./estimate/run.ts')).runEstimate(args, context),
      async (args, context) => (await import('./estimate/run.ts')).runGenerateEstimate(args, context),
    ),
  (c) => adviseCommand(c, async (args, context) => (await import('./advise/run.ts')).runAdvise(args, context)),
  (c) =>
    tuneKernelsCommand(c, async (args, context) =>
      (await import('./tune-kernels/run.ts')).runTuneKernels(args, context),
    ),
  (c) => doctorCommand(c, async (args, context) => (await import('./doctor/run.ts')).runDoctor(args, context)),
  configCommand,
];

const streams = standardStreams(process);
const { stdout, stderr } = streams;
const argv = process.argv.slice(2);
const isQuick = argv.some((word) => ['--help', '-h', '--version', '-V'].includes(word));
const watch = isQuick ? undefined : endAtSecondSignal(SAME_SIGNAL_MS);
const { signal: stopped, dispose } = abortOnSignals(process, watch?.stop);
const signal = AbortSignal.any([stopped, streams.signal]);
const context = {
  // made when it is asked for
  get stdin() {
    return process.stdin;
  },
  stdout,
  stderr,
  env: process.env,
  signal,
  startedMs: 0,
};
const exitCode = await runCli(argv, context, commands);
dispose();
await streams.flush();
const lost = exitCode === 0 && streams.signal.aborted;
const lastCode = lost ? reportFailure(streams.signal.reason, context) : exitCode;
// what is still open holds the process no longer: webgpu 0.6.2 was seen to hang
process.exit(lastCode);
