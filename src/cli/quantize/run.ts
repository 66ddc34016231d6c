/** Does the work of `nibble quantize`: shows its progress and prints what was written. */
import { type QuantizeSummary, quantizeFolder } from '../../node/quantize.ts';
import { formatBytes } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { QuantizeArgs } from './command.ts';

/**
 * Quantizes a folder and prints the summary.
 * @param freeBytes free bytes of the disk below a directory; injected by tests
 * @throws ConfigError, DataError; the signal's reason when aborted
 */
export async function runQuantize(
  { model, out, config, json }: QuantizeArgs,
  { stdout, stderr, env, signal }: CliContext,
  freeBytes?: (directory: string) => Promise<number>,
): Promise<void> {
  const progress = createProgress(stderr, env);
  const names = { model: 'model', out: 'out' };
  try {
    const onEvent = drawWork(progress);
    const summary = await quantizeFolder({ model, out, names, config }, { onEvent, signal }, freeBytes);
    progress.stop();
    stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : inWords(summary));
  } finally {
    progress.stop();
  }
}

function inWords({ out, quant_type, quantized_tensors, bits_per_parameter, ...more }: QuantizeSummary): string {
  const { kept_modules, bytes, source_bytes } = more;
  const kept = kept_modules.length > 3 ? `${kept_modules.length} modules` : kept_modules.join(', ');
  const bits = `${quantized_tensors} weights in ${quant_type} (${bits_per_parameter.toFixed(3)} bits a parameter)`;
  const sizes = `${formatBytes(bytes)}, from ${formatBytes(source_bytes)}`;
  return `${out}: ${bits}, ${sizes}${kept === '' ? '' : `; ${kept} kept`}\n`;
}
