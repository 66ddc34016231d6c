/** Does the work of `nibble export` and prints what was written. */
import { type ExportSummary, exportFolder } from '../../node/export.ts';
import { counted, formatBytes } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import type { ExportArgs } from './command.ts';

/**
 * Exports and prints the summary. @param freeBytes free bytes of the disk below a directory; injected by tests
 * @throws ConfigError, DataError; the signal's reason when aborted
 */
export async function runExport(
  { json, ...job }: ExportArgs,
  { stdout, stderr, signal }: CliContext,
  freeBytes?: (directory: string) => Promise<number>,
): Promise<void> {
  const names = { adapter: 'adapter', model: '--model' };
  const onEvent = ({ text }: { readonly text: string }): void => {
    stderr.write(`${text}\n`);
  };
  const summary = await exportFolder({ ...job, names }, { onEvent, signal }, freeBytes);
  stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : inWords(summary));
}

function inWords({ gguf, pairs, outtype, architecture, alpha, bytes, modelfile }: ExportSummary): string {
  const what = `${counted(pairs, 'weight')} of ${architecture} adapted, alpha ${alpha}, in ${outtype}`;
  const also = modelfile === null ? '' : `${modelfile}: ollama create NAME -f ${modelfile}\n`;
  return `${gguf}: ${what}, ${formatBytes(bytes)}\n${also}`;
}
