/** Does the work of `nibble eval`: shows its progress and prints the table. */
import { type EvalSummary, evaluateFrom } from '../../node/eval.ts';
import { namedFolder } from '../../node/prompts.ts';
import { counted, formatBytes } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import { askedDevice } from '../shared/device-choice.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { EvalArgs } from './command.ts';
import { evalTables } from './table.ts';

/** Evaluates and prints. @throws ConfigError, DataError, DeviceError; the signal's reason when aborted */
export async function runEval({ model, adapters, config, json }: EvalArgs, context: CliContext): Promise<void> {
  const { stdout, stderr, env, signal } = context;
  const progress = createProgress(stderr, env);
  const job = {
    model,
    modelName: 'model',
    adapters: adapters.map(namedFolder),
    config,
    device: askedDevice(context),
  };
  try {
    const summary = await evaluateFrom(job, { signal, onEvent: drawWork(progress) });
    progress.stop();
    stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : evalTables(summary));
    stderr.write(`${figures(summary)}\n`);
  } finally {
    progress.stop();
  }
}

function figures({ models, seconds, peak_bytes, files }: EvalSummary): string {
  const written = files.length === 0 ? '' : `; ${counted(files.length, 'file')} written, the first ${files[0]}`;
  return `${counted(models.length, 'model')} in ${seconds.toFixed(1)} s; peak GPU memory ${formatBytes(peak_bytes)}${written}`;
}
