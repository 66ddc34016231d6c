/** Does the work of `nibble bench`: runs a suite, writes a report again, lists suites, publishes a run. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { max as largest } from 'simple-statistics';
import { parse } from 'yaml';
import { withBudget } from '../../bench/estimate-arm.ts';
import { joinFolders } from '../../bench/join.ts';
import { mergeFolders } from '../../bench/merge.ts';
import { readPrices } from '../../bench/price-file.ts';
import { maybeSuite } from '../../bench/resume-suite.ts';
import { CRASH } from '../../bench/run-child.ts';
import { runSuite, type SuiteEvent } from '../../bench/run-suite.ts';
import { readSuiteFolder, type SuiteResult, writeSummary } from '../../bench/suite-folder.ts';
import { isInShard, runName, turnsOf } from '../../bench/turns.ts';
import type { ResolvedSuite } from '../../config/index.ts';
import { ConfigError, DeviceError } from '../../errors.ts';
import { type TakenFolder, takeFolder, takeNewFolder } from '../../node/output-folder.ts';
import { packageRoot } from '../../node/package-root.ts';
import { counted } from '../../report/format.ts';
import { verdictText } from '../../report/sections/verdict.ts';
import type { RunRecord } from '../../results/run-schema.ts';
import type { CliContext } from '../shared/context.ts';
import { askedDevice } from '../shared/device-choice.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress, type Progress, type ProgressTask } from '../shared/progress.ts';
import { trainProgress } from '../shared/train-progress.ts';
import type { BenchListArgs, BenchMergeArgs, BenchReportArgs, BenchRunArgs } from './command.ts';
import { printPlan } from './print-plan.ts';

/** Loads the chart library only where a report is written, since a GPU host may be installed without it. */
async function writeReport(input: Parameters<typeof import('../../bench/write-report.ts').writeReport>[0]) {
  const report = await import('../../bench/write-report.ts');
  return report.writeReport(input);
}

/** Fails before any run where the report at its end could not be drawn. @throws ConfigError */
async function requireReport(): Promise<void> {
  const { chartLibraries } = await import('../../report/charts/render.ts');
  await chartLibraries();
}

const SUITES = path.join('bench', 'suites');

/**
 * Runs a suite, writes its report and prints its verdict.
 * @throws ConfigError or an Error where runs failed; DeviceError where the device changed; the signal's reason
 */
export async function runBench(args: BenchRunArgs, context: CliContext): Promise<void> {
  const { report, shard } = args;
  const suite = await budgeted(args.suite, context);
  if (args.dryRun) return printPlan({ ...args, suite }, context);
  if (report) await requireReport();
  const folder = await suiteFolder(args);
  const { directory } = folder;
  const progress = createProgress(context.stderr, context.env);
  try {
    const own = turnsOf(suite, shard?.n).filter((turn) => isInShard(turn, shard));
    const task = progress.start(`suite ${suite.suite}`, own.length);
    const result = await runSuite(suite, {
      directory,
      device: askedDevice(context),
      command: ['nibble', ...process.argv.slice(2)],
      signal: context.signal,
      shard,
      onEvent: drawSuite(progress, task),
    });
    task.finish();
    const where = await reported(result, directory, report, progress);
    const software = result.summary.software_rendered ? ' (software-rendered: times compare the arms, not GPUs)' : '';
    context.stdout.write(`${verdictText(result.summary)}${software}\n${where}\n`);
    if (result.stopped !== null)
      throw new DeviceError(`${result.stopped}\nThe runs before are kept: --resume ${directory} goes on`);
    throwForFailed(result.runs);
  } finally {
    progress.stop();
    await folder.release();
  }
}

/** Fits the batches of a suite with a budget, in a folder that goes again. @throws ConfigError */
async function budgeted(suite: ResolvedSuite, { signal }: CliContext): Promise<ResolvedSuite> {
  if (suite.budget === null) return suite;
  const directory = await mkdtemp(path.join(tmpdir(), 'nibble-budget-'));
  return withBudget(suite, { directory, signal }).finally(() => rm(directory, { recursive: true, force: true }));
}

function suiteFolder({ suite, output, resume }: BenchRunArgs): Promise<TakenFolder> {
  if (resume !== undefined) {
    const occupied = async (directory: string) => `${directory} holds something that is no suite; give another folder`;
    return takeFolder(resume, { name: '--resume', contents: 'none', allows: maybeSuite, occupied });
  }
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  return takeNewFolder(output, `${suite.suite}-${stamp}`, '--output');
}

/** Writes the report, where one is wanted and there is a run to report; returns the path to print. */
async function reported(result: SuiteResult, dir: string, isWanted: boolean, progress: Progress): Promise<string> {
  if (!isWanted || result.runs.length === 0) return dir;
  const reporting = progress.start('report');
  const { reportHtml } = await writeReport({ dir, ...result });
  reporting.finish();
  return reportHtml;
}

/** Merges the parts of a suite into a new folder, and writes its report. @throws ConfigError, DataError */
export async function mergeBench({ folders, output }: BenchMergeArgs, context: CliContext): Promise<void> {
  await requireReport();
  const folder = await takeFolder(output, { name: 'folders', contents: 'none' });
  const progress = createProgress(context.stderr, context.env);
  try {
    const task = progress.start('merge');
    const result = await mergeFolders(folders, folder.directory);
    task.finish();
    const where = await reported(result, folder.directory, true, progress);
    context.stdout.write(`${verdictText(result.summary)}\n${where}\n`);
  } finally {
    progress.stop();
    await folder.release();
  }
}

/** Fails a suite whose report is written but some of whose runs failed. @throws ConfigError, or an Error for bugs */
function throwForFailed(runs: readonly RunRecord[]): void {
  const failed = runs.flatMap(({ run_info: { arm, seed, error, case: name = null } }) =>
    error === null ? [] : [{ name: runName(arm, name, seed), error }],
  );
  if (failed.length === 0) return;
  const lines = failed.map(({ name, error }) => `  ${name}: ${error.message.replaceAll('\n', '\n    ')}`);
  const message = `${failed.length} of ${counted(runs.length, 'run')} failed; the report is of the others:\n${lines.join('\n')}`;
  const bug = failed.find(({ error }) => error.stack !== null || error.kind === CRASH);
  if (bug === undefined) throw new ConfigError([{ path: '', message }]);
  throw Object.assign(new Error(message), { stack: `${message}\n${bug.error.stack ?? ''}` });
}

/** Draws the events of a suite. */
export function drawSuite(progress: Progress, suite: ProgressTask): (event: SuiteEvent) => void {
  let run: ProgressTask | null = null;
  let draw: ReturnType<typeof trainProgress> | null = null;
  const drawFetch = drawWork(progress);
  return (event) => {
    if (event.type === 'plan') {
      if (event.done > 0) suite.advance(event.done);
      const others = event.inOtherShards === 0 ? [] : [`${event.inOtherShards} are in other parts`];
      const made = event.done === 0 ? [] : [`${event.done} of ${counted(event.total, 'run')} were made before`];
      if (made.length + others.length > 0) progress.note([...made, ...others].join(', '));
    } else if (event.type === 'run-start') {
      run = suite.start(`${event.name} (${event.index + 1} of ${event.total})`);
      draw = trainProgress(progress, run);
    } else if (event.type === 'run-event') draw?.(event.event);
    else if (event.type === 'fetch-event') drawFetch(event.event);
    else {
      draw?.(null);
      const { error } = event.record.run_info;
      if (error === null)
        run?.finish(`eval_loss ${event.record.eval_info.metrics?.eval_loss.value.toFixed(4) ?? 'not measured'}`);
      else run?.fail(error.message.split('\n')[0] ?? error.kind);
      suite.advance();
    }
  };
}

/** Writes the report of one folder again, or joins several into a report in `output`. @throws ConfigError, DataError */
export async function reportAgain(
  { folders, output, prices: file }: BenchReportArgs,
  { stdout }: CliContext,
): Promise<void> {
  const [first, ...others] = folders;
  if (output === undefined && others.length > 0)
    throw new ConfigError([
      {
        path: '--output',
        message: 'is missing; several folders need one for their joint report: --output results/compare',
      },
    ]);
  const prices = file === undefined ? {} : { prices: await readPrices(file) };
  const [result, folder] =
    output === undefined
      ? [await readSuiteFolder(first), await takeFolder(first, { name: 'folder', contents: 'any' })]
      : await joinedInto(output, folders);
  try {
    await writeSummary(folder.directory, result.summary);
    const paths = await writeReport({ dir: folder.directory, ...result, ...prices });
    stdout.write(`${paths.reportHtml}\n`);
  } finally {
    await folder.release();
  }
}

async function joinedInto(output: string, folders: readonly string[]): Promise<[SuiteResult, TakenFolder]> {
  const joined = await joinFolders(folders, new Date().toISOString());
  return [joined, await takeFolder(output, { name: '--output', contents: 'none' })];
}

/** Prints name and description of each built-in suite, or JSON. */
export async function listSuites({ json }: BenchListArgs, { stdout }: CliContext): Promise<void> {
  const directory = path.join(packageRoot(), SUITES);
  const files = (await readdir(directory)).filter((f) => f.endsWith('.yaml')).sort();
  const suites = await Promise.all(
    files.map(async (file) => {
      const { suite, description = '' } = parse(await readFile(path.join(directory, file), 'utf8')) as {
        suite: string;
        description?: string;
      };
      return { suite, description, file: path.join(SUITES, file) };
    }),
  );
  if (json) stdout.write(`${JSON.stringify(suites, null, 2)}\n`);
  const width = largest(suites.map(({ suite }) => suite.length)) + 2;
  if (!json) for (const { suite, description } of suites) stdout.write(`${suite.padEnd(width)}${description}\n`);
}
