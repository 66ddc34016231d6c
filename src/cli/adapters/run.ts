/** Does the work of `nibble adapters inspect` and `nibble adapters combine`. */
import { combineFolders } from '../../node/combine-adapters.ts';
import { inspectAdapterFolder } from '../../node/inspect-adapter.ts';
import { counted, formatBytes } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { CombineArgs, InspectArgs } from './command.ts';
import { reportInWords } from './table.ts';

/** Prints what an adapter is. @throws ConfigError, DataError */
export async function runInspect(
  { adapter, model, config, json }: InspectArgs,
  { stdout, stderr, env, signal }: CliContext,
): Promise<void> {
  const progress = createProgress(stderr, env);
  try {
    const job = { adapter, model, modelName: '--model', config };
    const report = await inspectAdapterFolder(job, { onEvent: drawWork(progress), signal });
    progress.stop();
    stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : reportInWords(report));
  } finally {
    progress.stop();
  }
}

/** Writes the sum and says so. @param freeBytes injected by tests @throws ConfigError, DataError */
export async function runCombine(
  { out, adapters, model, config, json }: CombineArgs,
  { stdout, stderr, env, signal }: CliContext,
  freeBytes?: (directory: string) => Promise<number>,
): Promise<void> {
  const progress = createProgress(stderr, env);
  const names = { out: 'out', adapter: '--adapter', model: '--model' };
  const job = { out, adapters, model, settings: config, names };
  const onEvent = drawWork(progress);
  const summary = await combineFolders(job, { onEvent, signal }, freeBytes).finally(() => progress.stop());
  const { r, targets, bytes } = summary;
  const sum = adapters.map(({ directory, weight }) => `${weight} ${directory}`).join(' + ');
  const words = `${out}: ${sum}, rank ${r} on ${counted(targets, 'module')}, ${formatBytes(bytes)}\n`;
  stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : words);
}
