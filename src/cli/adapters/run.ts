/** Does the work of `nibble adapters inspect` and `nibble adapters combine`. */
import { combineFolders } from '../../node/combine-adapters.ts';
import { inspectAdapterFolder } from '../../node/inspect-adapter.ts';
import { counted, formatBytes } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import type { CombineArgs, InspectArgs } from './command.ts';
import { reportInWords } from './table.ts';

/** Prints what an adapter is. @throws ConfigError, DataError */
export async function runInspect(
  { adapter, model, json }: InspectArgs,
  { stdout, stderr, signal }: CliContext,
): Promise<void> {
  const onEvent = ({ text }: { readonly text: string }): unknown => stderr.write(`${text}\n`);
  const report = await inspectAdapterFolder({ adapter, model, modelName: '--model' }, { onEvent, signal });
  stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : reportInWords(report));
}

/** Writes the sum and says so. @param freeBytes injected by tests @throws ConfigError, DataError */
export async function runCombine(
  { out, adapters, model, config, json }: CombineArgs,
  { stdout, stderr, signal }: CliContext,
  freeBytes?: (directory: string) => Promise<number>,
): Promise<void> {
  const onEvent = ({ text }: { readonly text: string }): unknown => stderr.write(`${text}\n`);
  const names = { out: 'out', adapter: '--adapter', model: '--model' };
  const summary = await combineFolders(
    { out, adapters, model, settings: config, names },
    { onEvent, signal },
    freeBytes,
  );
  const { r, targets, bytes } = summary;
  const sum = adapters.map(({ directory, weight }) => `${weight} ${directory}`).join(' + ');
  const words = `${out}: ${sum}, rank ${r} on ${counted(targets, 'module')}, ${formatBytes(bytes)}\n`;
  stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : words);
}
