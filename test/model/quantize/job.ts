/** A checkpoint quantized in the test's process, into memory. */
import { openCheckpoint } from '../../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../../src/formats/hf-config.ts';
import { memoryReader, memoryWriter } from '../../../src/formats/memory.ts';
import type { FileReader } from '../../../src/formats/reader.ts';
import { type QuantizeJob, quantizeCheckpoint } from '../../../src/model/quantize/checkpoint.ts';
import { type QuantizeSettings, quantizedLayout } from '../../../src/model/quantize/layout.ts';
import { memoryStore } from '../../../src/model/quantize/spool.ts';
import { createQuantizer } from '../../../src/wasm/quantizer.ts';
import { codec, wasmModule } from '../../wasm/helpers.ts';

export const GOLDEN = new URL('../../golden/', import.meta.url).pathname;

export const PLAIN_NF4: QuantizeSettings = {
  quantType: 'nf4',
  blockSize: 64,
  doubleQuant: false,
  storage: 'uint8',
  dtype: null,
  computeDtype: 'float32',
  skipModules: null,
};

export type Files = Map<string, Uint8Array | string>;

/** Quantizes into `files`, which keep what was written before an error. */
export async function quantizeInto(
  files: Files,
  reader: FileReader,
  changes: Partial<QuantizeSettings> = {},
  more: Partial<QuantizeJob> = {},
) {
  const settings = { ...PLAIN_NF4, ...changes };
  const [source, config] = [await openCheckpoint(reader), await readModelConfig(reader)];
  const layout = await quantizedLayout(config, source, settings);
  const told: string[] = [];
  const result = await quantizeCheckpoint({
    reader,
    source,
    config,
    settings,
    layout,
    maxShardBytes: 50e9,
    codec,
    writer: memoryWriter(files),
    spool: memoryStore(),
    quantizer: createQuantizer(wasmModule),
    signal: new AbortController().signal,
    onTensor: (phase, name) => told.push(`${phase} ${name}`),
    onNote: (text) => told.push(text),
    ...more,
  });
  return { result, layout, told, reader: memoryReader(files, 'out') };
}

export function textOf(files: Files, name: string): string {
  const content = files.get(name);
  return typeof content === 'string' ? content : Buffer.from(content ?? []).toString();
}
