/** Does the work of `nibble bench repeat`. */
import path from 'node:path';
import { isRepeated, type RepeatedRun, readRepeatable, repeatRuns } from '../../bench/repeat.ts';
import { takeNewFolder } from '../../node/output-folder.ts';
import { counted } from '../../report/format.ts';
import { type Agreement, ASPECTS } from '../../results/repeat.ts';
import type { CliContext } from '../shared/context.ts';
import { askedDevice } from '../shared/device-choice.ts';
import { Told } from '../shared/failure.ts';
import { createProgress } from '../shared/progress.ts';
import type { BenchRepeatArgs } from './publish-commands.ts';
import { drawSuite } from './run.ts';

/**
 * Makes the runs of a published folder again and prints what agrees.
 * @throws ConfigError, DataError before the first run; Told with exit code 1 where something does not agree that has to
 */
export async function repeatBench(
  { folder, inputs, only, output, json }: BenchRepeatArgs,
  context: CliContext,
): Promise<void> {
  const repeatable = await readRepeatable(folder, inputs, only);
  const { suite, records } = repeatable;
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const taken = await takeNewFolder(output, `${suite.suite}-repeat-${stamp}`, '--output');
  const progress = createProgress(context.stderr, context.env);
  try {
    const task = progress.start(`repeat ${path.basename(path.resolve(folder))}`, records.size);
    const runs = await repeatRuns(repeatable, {
      directory: taken.directory,
      device: askedDevice(context),
      command: ['nibble', 'bench', 'repeat', path.basename(path.resolve(folder))],
      signal: context.signal,
      onEvent: drawSuite(progress, task),
    });
    task.finish();
    context.stdout.write(
      json ? `${JSON.stringify({ folder: taken.directory, runs }, null, 2)}\n` : repeatText(runs, taken.directory),
    );
    if (!isRepeated(runs)) throw new Told(1);
  } finally {
    progress.stop();
    await taken.release();
  }
}

/** A line for each thing that was compared, over all runs. */
export function repeatText(runs: readonly RepeatedRun[], folder: string): string {
  const made = runs.filter(({ problem }) => problem === null);
  const lines = ASPECTS.flatMap((aspect) => {
    const found = made.flatMap(({ agreements }) => agreements.filter(({ what }) => what === aspect));
    return found.length === 0 ? [] : [lineOf(aspect, found)];
  });
  const problems = runs.flatMap(({ run, problem }) => (problem === null ? [] : [`${run}: ${problem}`]));
  const excuses = [...new Set(made.flatMap(({ excuses: { bits } }) => bits))];
  const excused = excuses.length === 0 ? [] : [`To the bit nothing has to agree here: ${excuses.join('; ')}.`];
  const verdict = isRepeated(runs)
    ? 'Repeated: all agrees that has to.'
    : 'Not repeated: something differs that should agree.';
  return `${[...lines, ...excused, ...problems, verdict, folder].join('\n')}\n`;
}

function lineOf(aspect: string, found: readonly Agreement[]): string {
  const agreeing = found.filter(({ agrees }) => agrees).length;
  const broken = found.some(({ agrees, required }) => !agrees && required);
  const far = found.map(({ distance }) => distance ?? 0).reduce((most, value) => Math.max(most, value), 0);
  const distance = agreeing === found.length || far === 0 ? '' : `, at most ${distanceText(far)} apart`;
  const state = agreeing === found.length ? 'equal' : broken ? 'DIFFERS' : 'differs, and may';
  return `${aspect.padEnd(11)} ${state} (${agreeing} of ${counted(found.length, 'run')}${distance})`;
}

const distanceText = (value: number): string =>
  Number.isFinite(value) ? `${value.toExponential(1)} relative` : 'of another number of steps';
