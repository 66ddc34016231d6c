/** Files of weights: safetensors and their index, adapters, and checkpoints of bitsandbytes, read up to the GPU. */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { loadTrainConfig } from '../../../src/config/index.ts';
import { isBnb4bit, readBnb4bit } from '../../../src/formats/bnb4bit.ts';
import { openCheckpoint, type TensorSource } from '../../../src/formats/checkpoint.ts';
import { DTYPE_BYTES, elementCount } from '../../../src/formats/dtype.ts';
import { memoryReader } from '../../../src/formats/memory.ts';
import type { FileReader } from '../../../src/formats/reader.ts';
import { prequantizedState } from '../../../src/model/prequantized.ts';
import { readRunInput } from '../../../src/train/session.ts';
import { bytesOf, damagedData, damagedFile, partsOf, safetensorsOf } from '../bytes.ts';
import { reader, require } from '../reader.ts';
import { asText, type Json, mutated } from '../values.ts';

const GOLDEN = new URL('../../golden/', import.meta.url);
type Folder = ReadonlyMap<string, Uint8Array>;

function folderAt(path: string): Folder {
  const at = new URL(`${path}/`, GOLDEN);
  return new Map(readdirSync(at).map((name) => [name, readFileSync(new URL(name, at))]));
}

/** A file of its kind, a little wrong. */
function changedFile(name: string, content: Uint8Array): fc.Arbitrary<Uint8Array> {
  if (name.endsWith('.json'))
    return mutated(JSON.parse(new TextDecoder().decode(content)) as Json).chain((json) =>
      damagedFile(bytesOf(asText(json))),
    );
  const { header, data } = partsOf(content);
  return fc
    .tuple(mutated(header), damagedData(data))
    .chain(([changed, written]) => damagedFile(safetensorsOf(changed, written)));
}

/** A folder in which one file, or two, are changed. */
function changedFolder(folder: Folder, wanted: RegExp = /./): fc.Arbitrary<Folder> {
  const names = [...folder.keys()].filter((name) => wanted.test(name) && /\.(json|safetensors)$/.test(name));
  return fc
    .subarray(names, { minLength: 1, maxLength: Math.min(2, names.length) })
    .chain((chosen) =>
      fc.tuple(...chosen.map((name) => changedFile(name, folder.get(name)!).map((b) => [name, b] as const))),
    )
    .map((entries) => new Map([...folder, ...entries]));
}

async function requireReadable(source: TensorSource): Promise<void> {
  for (const name of source.names()) {
    const info = source.info(name);
    require(info.bytes === elementCount(info.shape) * DTYPE_BYTES[info.dtype], `${name} has ${info.bytes} bytes`);
    const bytes = new Uint8Array(info.bytes);
    await source.read(name, 0, bytes);
  }
}

const checkpoints = ['formats/llama-untied-f32', 'formats/llama-tied-f16', 'formats/llama-sharded-bf16'].map(folderAt);

export const safetensorsReader = reader<Folder>({
  name: 'safetensors and their index',
  share: 10,
  inputs: fc.constantFrom(...checkpoints).chain((folder) => changedFolder(folder, /safetensors/)),
  read: async (files) => requireReadable(await openCheckpoint(memoryReader(files, 'm'))),
});

const ROWS = bytesOf(`${JSON.stringify({ input_ids: [1, 2, 3, 4, 5, 6] })}\n`);

type Run = { readonly model: Folder; readonly adapter: Folder | null };

/** Reads all that a run reads before it takes a device. */
async function readRun({ model, adapter }: Run): Promise<void> {
  const config = loadTrainConfig({
    options: {
      model_name_or_path: 'model',
      datasets: [{ path: 'rows.jsonl' }],
      max_length: 16,
      per_device_train_batch_size: 1,
      max_steps: 1,
      ...(adapter === null ? {} : { adapter_name_or_path: 'adapter' }),
    },
  });
  const folders: Readonly<Record<string, FileReader>> = {
    model: memoryReader(model, 'model'),
    ...(adapter === null ? {} : { adapter: memoryReader(adapter, 'adapter') }),
  };
  const rows = memoryReader(new Map([['rows.jsonl', ROWS]]), '');
  const input = await readRunInput(config.values, (directory) => folders[directory] ?? rows);
  await requireReadable(input.source);
  const { lora } = input.layout;
  require(lora === null || lora.layout.targets.length + lora.layout.trained.length > 0, 'nothing to train');
  for (const target of lora?.layout.targets ?? [])
    require(Number.isSafeInteger(target.rank) &&
      target.rank >= 1 &&
      Number.isFinite(Math.fround(target.scaling)), `${target.name} has rank ${target.rank}`);
  for (const name of input.source.names().filter((each) => each.endsWith('.weight') && isBnb4bit(input.source, each))) {
    const stored = await readBnb4bit(input.source, name);
    if (stored === null) continue;
    const state = await prequantizedState(input.source, name, stored);
    const scales = state.nested ? state.nestedAbsmax : state.absmax;
    require(scales.every((scale) => Number.isFinite(scale) && scale >= 0), `${name} has a scale that is none`);
  }
}

const model = folderAt('llama/untied-gqa-f32');
const adapter = folderAt('peft-steps/lora/adapter-init');
const quantized = ['formats/bnb-nf4-nested-bf16', 'formats/bnb-fp4-plain-storage', 'peft-steps/qlora/base'].map(
  folderAt,
);

export const adapterReader = reader<Run>({
  name: 'adapter_config.json and adapter weights',
  share: 8,
  inputs: changedFolder(adapter).map((changed) => ({ model, adapter: changed })),
  read: readRun,
});

export const quantizedReader = reader<Run>({
  name: 'checkpoint of bitsandbytes',
  share: 8,
  inputs: fc
    .constantFrom(...quantized)
    .chain((folder) => changedFolder(folder))
    .map((changed) => ({ model: changed, adapter: null })),
  read: readRun,
});

export const wholeModelReader = reader<Run>({
  name: 'model directory',
  share: 4,
  inputs: fc
    .constantFrom(...checkpoints)
    .chain((folder) => changedFolder(folder))
    .map((changed) => ({ model: changed, adapter: null })),
  read: readRun,
});
