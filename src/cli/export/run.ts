/** Does the work of `nibble export` and prints what was written. */
import { type ExportSummary, exportFolder } from '../../node/export.ts';
import { counted, formatBytes } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { ExportArgs } from './command.ts';

/**
 * Exports and prints the summary. @param freeBytes free bytes of the disk below a directory; injected by tests
 * @throws ConfigError, DataError; the signal's reason when aborted
 */
export async function runExport(
  { json, ...job }: ExportArgs,
  { stdout, stderr, env, signal }: CliContext,
  freeBytes?: (directory: string) => Promise<number>,
): Promise<void> {
  const names = { adapter: 'adapter', model: '--model' };
  const progress = createProgress(stderr, env);
  try {
    const summary = await exportFolder({ ...job, names }, { onEvent: drawWork(progress), signal }, freeBytes);
    progress.stop();
    stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : inWords(summary));
  } finally {
    progress.stop();
  }
}

function inWords({ gguf, pairs, outtype, architecture, alpha, bytes, modelfile }: ExportSummary): string {
  const what = `${counted(pairs, 'weight')} of ${architecture} adapted, alpha ${alpha}, in ${outtype}`;
  const next = `llama.cpp: llama-cli -m BASE.gguf --lora ${gguf}\n`;
  const also = modelfile === null ? '' : `Ollama: ollama create NAME -f ${modelfile}\n`;
  return `${gguf}: ${what}, ${formatBytes(bytes)}\n${next}${also}`;
}
